// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

private struct Failure: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// A value that says when it ends.
private struct Region: ~Copyable, Sendable {
    let events: Log
    let name: String

    deinit { events.note("unmap \(name)") }
}

@Suite struct ResourceScopeTests {
    // MARK: Order

    @Test func `what was added last is released first`() throws {
        let (scope, events) = (BindingScope(name: "scope"), Log())
        for name in ["1", "2", "3"] { try scope.add(name) { events.note(name) } }
        #expect(scope.count == 3)
        try scope.close()
        #expect(events.all == ["3", "2", "1"] && scope.isEmpty && scope.isClosing)
    }

    @Test func `each of the four uses has its moment`() throws {
        let (scope, events) = (BindingScope(name: "scope"), Log())
        try scope.register("node") {
            events.note("register")
        } unregister: {
            events.note("unregister")
        }
        let key = AssociationKey<Int>("firmware")
        try scope.associate(1, under: key)
        let region = try scope.acquire("region") { Region(events: events, name: "region") }
        try scope.add("interrupt") {
            events.note("free interrupt")
            #expect(region.withValue { _ in 1 } == 1, "released before what came after it")
            #expect(scope.associated(key)?.withValue { $0 } == 1)
        }
        try scope.closeRegistrations()
        events.note("remove")
        #expect(throws: QuiesceError.closed("scope")) {
            try scope.register("late") {
            } unregister: {
                events.note("unregister late")
            }
        }
        try scope.close()
        #expect(
            events.all == [
                "register", "unregister", "remove", "unregister late", "free interrupt",
                "unmap region",
            ])
        #expect(scope.associated(key) == nil && region.withValue { _ in } == nil)
    }

    @Test func `what is declared decides before what came last`() throws {
        let (scope, events) = (BindingScope(name: "scope"), Log())
        let interrupt = try scope.add("interrupt") { events.note("interrupt") }
        let clock = try scope.add("clock") { events.note("clock") }
        let power = try scope.add("power") { events.note("power") }
        try scope.release(interrupt, before: power)
        try scope.release(clock, before: interrupt)
        try scope.close()
        #expect(events.all == ["clock", "interrupt", "power"])
    }

    @Test func `what is declared may not go round`() throws {
        let scope = BindingScope(name: "scope")
        let resources = try ["interrupt", "clock", "power"].map { try scope.add($0) {} }
        try scope.release(resources[0], before: resources[2])
        try scope.release(resources[1], before: resources[0])
        #expect(throws: QuiesceError.cycle("power before clock, in scope")) {
            try scope.release(resources[2], before: resources[1])
        }
        #expect(throws: QuiesceError.cycle("clock before clock, in scope")) {
            try scope.release(resources[1], before: resources[1])
        }
        // A scope that took such an order would never end.
        for resource in resources { #expect(scope.remove(resource)) }
    }

    @Test func `a release by hand keeps to the order too`() throws {
        let (scope, events) = (BindingScope(name: "scope"), Log())
        let power = try scope.add("power") { events.note("power") }
        try scope.add("other") { events.note("other") }
        let interrupt = try scope.add("interrupt") { events.note("interrupt") }
        try scope.release(interrupt, before: power)
        #expect(try scope.release(power))
        #expect(events.all == ["interrupt", "power"])
        #expect(try !scope.release(power) && !scope.release(interrupt))
        try scope.close()
        #expect(events.all == ["interrupt", "power", "other"])
    }

    @Test func `an order holds over the parts of the end`() throws {
        let (scope, events) = (BindingScope(name: "scope"), Log())
        let node = try scope.register("node") {
        } unregister: {
            events.note("node")
        }
        let queue = try scope.add("queue") { events.note("queue") }
        try scope.release(queue, before: node)
        try scope.closeRegistrations()
        #expect(events.all == ["queue", "node"])
    }

    // MARK: Failures

    @Test func `a release that throws does not keep the others from running`() throws {
        let (scope, events) = (ObjectScope(name: "scope"), Log())
        try scope.add("first") { events.note("first") }
        try scope.add("broken") { throw Failure("no answer") }
        try scope.add("last") {
            events.note("last")
            throw Failure("stuck")
        }
        let error = #expect(throws: QuiesceError.self) { try scope.close() }
        guard case .releasesFailed(of: "scope", let failures)? = error else { return }
        #expect(failures.map(\.resource) == ["last", "broken"])
        #expect(failures.map { $0.error as? Failure } == [Failure("stuck"), Failure("no answer")])
        #expect(
            "\(QuiesceError.releasesFailed(of: "scope", failures))"
                == "scope was released, and not all went well: last: stuck; broken: no answer")
        #expect(events.all == ["last", "first"] && scope.isEmpty)
        try scope.close()
    }

    @Test func `an acquire that fails releases what it had added`() throws {
        let (scope, events) = (BindingScope(name: "scope"), Log())
        try scope.add("before") { events.note("before") }
        #expect(throws: Failure("no memory")) {
            _ = try scope.acquire("buffers") { () throws -> Region in
                try scope.add("pool") { events.note("pool") }
                _ = try scope.acquire("first") { Region(events: events, name: "first") }
                throw Failure("no memory")
            }
        }
        #expect(events.all == ["unmap first", "pool"] && scope.count == 1)
    }

    @Test func `a group that fails is released, and both errors are told`() throws {
        let (scope, events) = (BindingScope(name: "scope"), Log())
        let error = #expect(throws: QuiesceError.self) {
            try scope.withGroup("probe") { _ in
                try scope.add("clock") { throw Failure("busy") }
                try scope.add("line") { events.note("line") }
                throw Failure("no device")
            }
        }
        guard case .releasesFailed(of: "scope", let failures)? = error else { return }
        #expect(failures.map(\.description) == ["probe: no device", "clock: busy"])
        #expect(events.all == ["line"] && scope.isEmpty)
        _ = try scope.withGroup("probe") { _ in try scope.add("line") { events.note("line") } }
        let group = try #require(scope.group(named: "probe"))
        #expect(try scope.releaseGroup(group) == 1 && events.all == ["line", "line"])
        #expect(try scope.releaseGroup(group) == nil)
    }

    @Test func `what comes too late is released at once`() throws {
        let (scope, events) = (BindingScope(name: "scope"), Log())
        try scope.close()
        #expect(throws: QuiesceError.closed("scope")) {
            try scope.add("late") { events.note("late") }
        }
        #expect(throws: QuiesceError.closed("scope")) {
            _ = try scope.acquire("region") { Region(events: events, name: "region") }
        }
        #expect(
            throws: QuiesceError.releasesFailed(
                of: "scope", [ReleaseFailure("later", Failure("stuck"))])
        ) {
            try scope.add("later") { throw Failure("stuck") }
        }
        #expect(events.all == ["late", "unmap region"])
    }

    @Test func `a scope that nobody closes releases at its end`() throws {
        let events = Log()
        do {
            let scope = ObjectScope(name: "scope")
            try scope.add("line") { events.note("line") }
            try scope.add("clock") { events.note("clock") }
        }
        #expect(events.all == ["clock", "line"])
    }

    // MARK: Misuse

    @Test func `a release action that closes its scope is told that it is inside`() throws {
        let (scope, events) = (BindingScope(name: "scope"), Log())
        try scope.add("first") { events.note("first") }
        try scope.add("closer") {
            #expect(throws: QuiesceError.inside(of: "scope")) { try scope.close() }
            #expect(throws: QuiesceError.inside(of: "scope")) { try scope.releaseAll() }
            #expect(scope.resource(named: "first") != nil)
            events.note("closer")
        }
        try scope.close()
        #expect(events.all == ["closer", "first"])
    }

    @Test func `a release action that releases itself is told that it is inside`() throws {
        let scope = BindingScope(name: "scope")
        let box = Shared<ResourceID?>(nil)
        let resource = try scope.add("own") {
            do throws(QuiesceError) {
                try scope.release(box.value!)
                Issue.record("nothing was thrown")
            } catch { #expect(error == .inside(of: "scope", item: "the release of own")) }
        }
        box.value = resource
        try scope.close()
    }

    private final class Shared<Value: Sendable>: Sendable {
        private let content: Mutex<Value>

        init(_ value: Value) { content = Mutex(value) }

        var value: Value {
            get { content.withLock { $0 } }
            set { content.withLock { $0 = newValue } }
        }
    }

    @Test func `a removed resource is the caller's again`() throws {
        let (scope, events) = (ObjectScope(name: "scope"), Log())
        let line = try scope.add("line") { events.note("line") }
        #expect(scope.remove(line) && !scope.remove(line))
        #expect(try !scope.release(line))
        try scope.close()
        #expect(events.all == [])
    }

    @Test func `many come and go without a trace`() throws {
        let (scope, events) = (ObjectScope(name: "scope"), Log())
        let first = try scope.add("first") { events.note("first") }
        var kept: [ResourceID] = []
        for index in 0..<1_000 {
            let resource = try scope.add("\(index)") {}
            if index % 10 == 0 { kept.append(resource) } else { try scope.release(resource) }
        }
        #expect(scope.count == 101 && kept.allSatisfy { scope.contains($0) })
        #expect(scope.engine.look { $0.length } < 300)
        #expect(try scope.release(first) && scope.releaseAll() == 100)
        #expect(events.all == ["first"] && scope.engine.look { $0.length } == 0)
    }

    @Test func `a key keeps one value`() throws {
        let scope = ObjectScope(name: "scope")
        let (key, other) = (AssociationKey<Int>("key"), AssociationKey<Int>("key"))
        try scope.associate(1, under: key)
        try scope.associate(2, under: other)
        #expect(throws: QuiesceError.exists("key")) { try scope.associate(3, under: key) }
        #expect(scope.associated(key) == 1 && scope.associated(other) == 2)
        try scope.releaseAll()
        #expect(scope.associated(key) == nil)
        try scope.associate(4, under: key)
        #expect(scope.associated(key) == 4)
    }

    // MARK: Values

    @Test func `a value is given back once, with its error`() throws {
        let (scope, events) = (BindingScope(name: "scope"), Log())
        let line = try scope.acquire("line") {
            7
        } release: { number in
            events.note("free \(number)")
            throw Failure("stuck")
        }
        #expect(line.withValue { $0 } == 7)
        #expect(throws: QuiesceError.self) { try scope.release(line) }
        #expect(try !scope.release(line) && line.withValue { $0 } == nil)
        try scope.close()
        #expect(events.all == ["free 7"])
    }

    @Test func `a value that has a user keeps the scope from closing in time`() throws {
        let (scope, events) = (BindingScope(name: "scope"), Log())
        try scope.add("power") { events.note("power") }
        let line = try scope.acquire("line") {
            7
        } release: { _ in
            events.note("line")
        }
        let isInside = EventCounter()
        let mayLeave = EventCounter()
        let user = try WorldThread.spawn(name: "user") {
            _ = line.withValue { _ in
                try? isInside.add(1)
                _ = try? mayLeave.take()
            }
        }
        _ = try isInside.take()
        let error = #expect(throws: QuiesceError.self) {
            try scope.close(within: .milliseconds(1))
        }
        if case .timedOut(of: "line", let occupants, _)? = error {
            #expect(occupants.count == 1 && occupants[0].name.contains("user"))
        } else {
            Issue.record("\(String(describing: error))")
        }
        #expect(events.all == [] && scope.count == 2 && scope.isClosing)
        try mayLeave.add(1)
        try scope.close()
        #expect(events.all == ["line", "power"])
        user.join()
    }

    @Test func `a failure is told although the end was not reached in time`() throws {
        let (scope, events) = (BindingScope(name: "scope"), Log())
        let line = try scope.acquire("line") {
            7
        } release: { _ in
            events.note("line")
        }
        try scope.add("broken") { throw Failure("stuck") }
        let error = line.withValue { _ in
            #expect(throws: QuiesceError.self) { try scope.close() }
        }
        guard case .releasesFailed(of: "scope", let failures)?? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(failures.map(\.resource) == ["broken", "what is left"])
        #expect(failures.last?.error as? QuiesceError == .inside(of: "line"))
        #expect(events.all == [] && scope.count == 1)
        try scope.close()
        #expect(events.all == ["line"])
    }

    // MARK: Explored

    private static func close<Lifetime>(_ scope: ResourceScope<Lifetime>) {
        do { try scope.close() } catch { expect(false, "\(error)") }
    }

    /// Two close: each is back when all is released, and each release ran once, in order.
    private static let twoClosers: Program = { world in
        let (scope, events) = (ObjectScope(name: "scope"), Log())
        for name in ["1", "2"] { sure { try scope.add(name) { events.note(name) } } }
        for name in ["one", "other"] {
            world.thread(name) {
                close(scope)
                expect(events.all.count == 2, "it returned early")
            }
        }
        world.afterwards { expect(events.all == ["2", "1"], "\(events.all)") }
    }

    @Test func `of two that close both return when all is released`() throws {
        try verify("two closers", Self.twoClosers)
    }

    /// One resource is released by hand while the scope is closed.
    private static let releaseAgainstClose: Program = { world in
        let (scope, events) = (ObjectScope(name: "scope"), Log())
        let resource = try? scope.add("line") { events.note("line") }
        world.thread("driver") {
            guard let resource else { return }
            _ = try? scope.release(resource)
            expect(events.all == ["line"], "it is not released")
        }
        world.thread("unbind") {
            close(scope)
            expect(events.all == ["line"], "it is not released")
        }
    }

    @Test func `of two that release one the second waits`() throws {
        try verify("release against close", Self.releaseAgainstClose)
    }

    /// What goes first runs on another thread: the other waits for it.
    private static let orderedAgainstClose: Program = { world in
        let (scope, events) = (ObjectScope(name: "scope"), Log())
        let ids = ["interrupt", "power"].compactMap { name in
            try? scope.add(name) { events.note(name) }
        }
        sure { try scope.release(ids[0], before: ids[1]) }
        world.thread("driver") { _ = try? scope.release(ids[0]) }
        world.thread("unbind") { close(scope) }
        world.afterwards { expect(events.all == ["interrupt", "power"], "\(events.all)") }
    }

    @Test func `what is declared holds between threads`() throws {
        try verify("order between threads", Self.orderedAgainstClose)
    }

    /// Two release actions, each of which releases the other's resource: Linux's `Devres` waited
    /// for the callback that its own loop would have called next.
    private static let crossed: Program = { world in
        let (scope, events) = (ObjectScope(name: "scope"), Log())
        let ids = Shared<[ResourceID]>([])
        for (name, other) in [("1", 1), ("2", 0)] {
            sure {
                let id = try scope.add(name) {
                    let other = ids.value[other]
                    _ = try? scope.release(other)
                    events.note(name)
                }
                ids.value.append(id)
            }
        }
        world.thread("driver") { _ = try? scope.release(ids.value[0]) }
        world.thread("unbind") { close(scope) }
        world.afterwards { expect(events.all.sorted() == ["1", "2"], "\(events.all)") }
    }

    @Test func `a release action never waits for another one`() throws {
        try verify("crossed", Self.crossed)
    }

    /// Two release actions, each of which releases what has to wait for the other: 1 goes before 4,
    /// and 3 before 2.
    private static let crossedByOrder: Program = { world in
        let (scope, events) = (ObjectScope(name: "scope"), Log())
        let ids = Shared<[ResourceID]>([])
        for (name, other) in [("1", 1), ("2", nil), ("3", 3), ("4", nil)] as [(String, Int?)] {
            sure {
                let id = try scope.add(name) {
                    if let other { _ = try? scope.release(ids.value[other]) }
                    events.note(name)
                }
                ids.value.append(id)
            }
        }
        sure { try scope.release(ids.value[0], before: ids.value[3]) }
        sure { try scope.release(ids.value[2], before: ids.value[1]) }
        world.thread("driver") { _ = try? scope.release(ids.value[0]) }
        world.thread("unbind") { _ = try? scope.release(ids.value[2]) }
        world.afterwards {
            close(scope)
            expect(events.all.sorted() == ["1", "2", "3", "4"], "\(events.all)")
        }
    }

    @Test func `a release action does not wait for what goes first either`() throws {
        try verify("crossed by order", granularity: .coarse, Self.crossedByOrder)
        try verify("crossed by order", preemptions: 2, Self.crossedByOrder)
    }

    /// Nothing is left behind in a scope that is closed while something is added.
    private static let addAgainstClose: Program = { world in
        let (scope, events) = (ObjectScope(name: "scope"), Log())
        world.thread("driver") { _ = try? scope.add("line") { events.note("line") } }
        world.thread("unbind") { close(scope) }
        world.afterwards { expect(events.all == ["line"] && scope.isEmpty) }
    }

    @Test func `what is added while the scope is closed is released once`() throws {
        try verify("add against close", Self.addAgainstClose)
    }

    /// A value is given back after its last user, whoever gives it back.
    private static let valueAgainstClose: Program = { world in
        let (scope, memory) = (BindingScope(name: "scope"), Memory("memory"))
        guard let value = try? scope.acquire("region", { memory }, release: { $0.store(0) }) else {
            return
        }
        world.thread("user") { value.withValue { memory in expect(memory.load() == 1) } }
        world.thread("unbind") {
            close(scope)
            expect(memory.load() == 0)
        }
    }

    @Test func `a value is given back after its last user`() throws {
        try verify("value against close", Self.valueAgainstClose)
    }

    /// A registration that calls into another object ends with the one that ends first.
    private static let sharedRegistration: Program = { world in
        let (driver, object) = (BindingScope(name: "driver"), ObjectScope(name: "object"))
        let (events, memory) = (Log(), Memory("memory"))
        sure {
            try driver.add("driver's own") { events.note("driver") }
            try object.add("object's own") { memory.store(0) }
            try driver.register("callback", callingInto: object) {
            } unregister: {
                expect(memory.load() == 1, "the object has ended")
                events.note("unregister")
            }
        }
        world.thread("unbind") { close(driver) }
        world.thread("last put") { close(object) }
        world.afterwards {
            expect(events.all == ["unregister", "driver"], "\(events.all)")
            expect(driver.isEmpty && object.isEmpty)
        }
    }

    @Test func `a shared registration ends with the first of two`() throws {
        try verify("shared registration", granularity: .coarse, Self.sharedRegistration)
        try verify("shared registration", preemptions: 2, Self.sharedRegistration)
    }

    /// A release that never returns, and a scope that ends with its thread: the scope does not
    /// wait.
    @Test func `a scope does not wait at its end for a release that never returns`() throws {
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        let report = try Exploration("stuck", options: options) { world in
            let (scope, nothing) = (ObjectScope(name: "scope"), WaitQueue(name: "nothing"))
            try scope.add("stuck") { try nothing.wait { false } }
            let isThere = Optional(true)
            world.thread("closer") { if isThere != nil { try? scope.close() } }
        }.run()
        #expect(report.verdicts.keys.contains(.lostWakeUp), "\(report)")
    }

    // MARK: Tasks

    @Test func `tasks that close wait without a thread`() async throws {
        try await verifyTasks("close in tasks", granularity: .coarse) { _ in
            let (scope, events) = (BindingScope(name: "scope"), Log())
            sure { try scope.add("power") { events.note("power") } }
            guard
                let line = try? scope.acquire("line", { 7 }, release: { _ in events.note("line") })
            else { return }
            let user = Task(name: "user") {
                await line.withValue { (_: Int) async in await Task.yield() }
            }
            do { try await scope.close() } catch { expect(false, "\(error)") }
            expect(events.all == ["line", "power"], "\(events.all)")
            _ = await user.value
        }
    }

    @Test func `a task that is cancelled leaves the value to another`() async throws {
        try await verifyTasks("cancelled close", executions: 2_000, granularity: .coarse) { _ in
            let (scope, events) = (BindingScope(name: "scope"), Log())
            guard
                let line = try? scope.acquire("line", { 7 }, release: { _ in events.note("line") })
            else { return }
            let user = Task(name: "user") {
                await line.withValue { (_: Int) async in await Task.yield() }
            }
            let closer = Task(name: "closer") { try await scope.close() }
            closer.cancel()
            do { try await closer.value } catch {
                expect(error is CancellationError, "\(error)")
            }
            _ = await user.value
            do { try await scope.close() } catch { expect(false, "\(error)") }
            expect(events.all == ["line"] && scope.isEmpty, "\(events.all)")
        }
    }

    // MARK: Mutants

    static let mutants: [Mutant] = [
        Mutant(releaseAgainstClose, "Waiter.swift", "point.wake(1)", .skipped),
        Mutant(orderedAgainstClose, "Waiter.swift", "point.wake(1)", .skipped),
        Mutant(
            twoClosers, "Waiters.swift", "guard count.load(ordering: .sequentiallyConsistent) > 0",
            .sees(0)),
        Mutant(valueAgainstClose, "Gate+Closing.swift", "membarrier()", .skipped),
        Mutant(
            valueAgainstClose, "ResourceScopeTests.swift", "value.withValue", .sees(0), of: .load),
        Mutant(
            sharedRegistration, "SharedRegistration.swift", "state.withLock { state in", .skipped),
        Mutant(
            sharedRegistration, "SharedRegistration.swift", "state.withLock { $0 = .over }",
            .skipped),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }
}

/// Plain memory that closures share.
private final class Memory: Sendable {
    private let content = Unsynchronized(1)

    init(_ name: String) { content.label(name) }

    func load() -> Int { content.load() }
    func store(_ value: Int) { content.store(value) }
}
