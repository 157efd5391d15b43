// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

private struct NoMemory: Error {}

/// Managed resources of a binding, as far as no device is needed.
///
/// Those that need a device are among the tests of the device model.
@Suite("devm.kunit") struct DevmRules {
    @Test func probe_failure_releases() throws {
        let (scope, events) = (BindingScope(name: "binding"), Log())
        #expect(throws: NoMemory.self) {
            try scope.withGroup("probe") { _ in
                for number in 1...3 { try scope.add("\(number)") { events.note("\(number)") } }
                throw NoMemory()
            }
        }
        #expect(events.all == ["3", "2", "1"] && scope.isEmpty)
    }

    /// What cannot be added is released at once.
    @Test func add_action_or_reset_on_failure() throws {
        let (scope, events) = (BindingScope(name: "binding"), Log())
        try scope.close()
        #expect(throws: QuiesceError.closed("binding")) {
            try scope.add("action") { events.note("action") }
        }
        #expect(events.all == ["action"])
    }

    @Test func remove_called_before_devres() throws {
        let (scope, events) = (BindingScope(name: "binding"), Log())
        for number in 1...2 { try scope.add("\(number)") { events.note("\(number)") } }
        try scope.register("node") {
        } unregister: {
            events.note("unregister")
        }
        try scope.closeRegistrations()
        events.note("remove")
        try scope.close()
        #expect(events.all == ["unregister", "remove", "2", "1"])
    }
}

/// An object that manages what belongs to it, as `struct drm_device` does.
private final class Managed: ReferenceCounted {
    let referenceCount = ReferenceCount()
    let scope = ObjectScope(name: "object")

    func release() {
        do { try scope.close() } catch { expect(false, "\(error)") }
    }
}

/// Managed resources of an object.
///
/// Not here:
/// - `kfree_early`, `kfree_unknown`: memory is no resource apart from its value; `release` of an
///   identity is what `managed_release_action` tests, and of an unknown one what
///   `devres.actions_groups` has.
/// - `release_action_with_null_data_matches_oldest`: a resource is found by its identity, never by
///   its function.
/// - `outlives_unbind`, `enter_*`, `unplug_is_global_srcu`: among the tests of the device model.
/// - `unplug_waits`, `unplug_inside_section`, `enter_nested`: sections that a device's end waits
///   for are gates; see the rules of gates.
/// - `shutdown_path_skipped_after_unplug`: what the kernel documents as a shortcoming. Here a
///   driver's `remove` runs with everything still there.
@Suite("drmm") struct DrmmRules {
    @Test func managed_release_action() throws {
        let events = Log()
        let object = Reference(Managed())
        let scope = object.withObject { $0.scope }
        let action = try scope.add("action") { events.note("action") }
        #expect(try scope.release(action) && events.all == ["action"])
        object.drop()
        #expect(events.all == ["action"])
    }

    @Test func managed_run_action() throws {
        let events = Log()
        let object = Reference(Managed())
        try object.withObject { _ = try $0.scope.add("action") { events.note("action") } }
        let other = object.share()
        object.drop()
        #expect(events.all == [])
        other.drop()
        #expect(events.all == ["action"])
    }

    @Test func lifo() throws {
        let events = Log()
        let object = Reference(Managed())
        try object.withObject { object in
            for number in 1...3 { try object.scope.add("\(number)") { events.note("\(number)") } }
        }
        object.drop()
        #expect(events.all == ["3", "2", "1"])
    }

    @Test func add_action_or_reset_failure() throws {
        let events = Log()
        let scope = ObjectScope(name: "object")
        try scope.close()
        #expect(throws: QuiesceError.closed("object")) {
            _ = try scope.allocate("buffer") {
                1
            } release: {
                events.note("free \($0)")
            }
        }
        #expect(events.all == ["free 1"])
    }
}

/// The resources of a test of the kernel.
///
/// Not here:
/// - `remove_keeps_reference`: an entry of a scope is not counted; what outlives it is counted by
///   itself, as `Reference`.
@Suite("kunit_resource") struct KUnitResourceRules {
    private let scope = ObjectScope(name: "test")
    private let events = Log()

    @Test func `init`() {
        #expect(scope.isEmpty && scope.count == 0)
    }

    @Test func alloc_and_get() throws {
        let value = try scope.allocate("r") { 1 }
        #expect(value == 1 && scope.resource(named: "r") != nil && scope.count == 1)
    }

    @Test func destroy() throws {
        _ = try scope.allocate("r") {
            1
        } release: { [events] in
            events.note("free \($0)")
        }
        let resource = try #require(scope.resource(named: "r"))
        #expect(try scope.release(resource) && events.all == ["free 1"] && scope.isEmpty)
    }

    @Test func cleanup_all() throws {
        for number in 1...5 {
            _ = try scope.allocate("r") {
                number
            } release: { [events] in
                events.note("\($0)")
            }
        }
        #expect(try scope.releaseAll() == 5 && events.all.count == 5)
    }

    /// What an allocation allocates for itself is released after it.
    @Test func proper_free_ordering() throws {
        let events = events
        _ = try scope.allocate("1") { () throws -> Int in
            _ = try scope.allocate("2") {
                2
            } release: { _ in
                events.note("free 2")
            }
            events.note("alloc 2")
            events.note("alloc 1")
            return 1
        } release: { _ in
            events.note("free 1")
        }
        try scope.close()
        #expect(events.all == ["alloc 2", "alloc 1", "free 1", "free 2"])
    }

    @Test func named_duplicate() throws {
        let key = AssociationKey<Int>("n1")
        try scope.associate(1, under: key)
        #expect(throws: QuiesceError.exists("n1")) { try scope.associate(1, under: key) }
    }

    @Test func action_once() throws {
        var runs: [Int] = []
        try add("act")
        for _ in 1...2 {
            try scope.releaseAll()
            runs.append(events.all.count)
        }
        try add("act")
        try add("act")
        try scope.releaseAll()
        #expect(runs + [events.all.count] == [1, 1, 3])
    }

    @Test func remove_action() throws {
        #expect(scope.remove(try add("act")))
        try scope.close()
        #expect(events.all == [])
    }

    @Test func release_action() throws {
        #expect(try scope.release(add("act")))
        try scope.close()
        #expect(events.all == ["act"])
    }

    @Test func action_ordering() throws {
        for name in ["1", "2", "1", "2"] { try add(name) }
        #expect(scope.remove(try #require(scope.resource(named: "1"))))
        #expect(try scope.release(#require(scope.resource(named: "2"))))
        try scope.close()
        #expect(events.all == ["2", "2", "1"])
    }

    @discardableResult
    private func add(_ name: String) throws -> ResourceID {
        try scope.add(name) { [events] in events.note(name) }
    }
}
