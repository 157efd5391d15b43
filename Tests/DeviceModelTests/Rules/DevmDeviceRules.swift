// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import Explorer
import ExploringSupport
import Quiesce
import Substrate
import Testing

/// Managed resources of a device. Those that need none are among the rules of scopes.
///
/// `within_ms` stands for what happens in another thread there; here it has happened when the call
/// returns.
@Suite("devm.kunit, of devices") struct DevmDeviceRules {
    private let bus = Bus(name: "bus")
    private let log = Log()

    /// A device without a driver, and one with.
    private func added(_ device: Device, probed: Bool) throws -> Device {
        if probed { try bus.register(TestDriver(log: log)) }
        try bus.add(device)
        return device
    }

    private func unregister(probed: Bool, hasReference: Bool) throws {
        var device: Device? = try added(device("a"), probed: probed)
        let held = device
        try device?.scope.add("action") { [log] in log.note("action") }
        if let found = device { try bus.remove(found) }
        // The last reference is ours.
        #expect(!log.take().contains("action") && held != nil)
        device = nil
        if hasReference { #expect(log.all == []) }
    }

    @Test func root_register_unregister() throws {
        try unregister(probed: false, hasReference: false)
        #expect(log.all == ["action"])
    }

    @Test func root_register_get_unregister_with_devm() throws {
        try unregister(probed: false, hasReference: true)
        #expect(log.all == ["action"])
    }

    @Test func platform_register_unregister() throws {
        try unregister(probed: false, hasReference: false)
        #expect(log.all == ["action"])
    }

    @Test func platform_register_get_unregister_with_devm() throws {
        try unregister(probed: false, hasReference: true)
        #expect(log.all == ["action"])
    }

    @Test func probed_register_unregister() throws {
        try unregister(probed: true, hasReference: false)
        #expect(log.all == ["action"])
    }

    @Test func probed_register_get_unregister_with_devm() throws {
        try unregister(probed: true, hasReference: true)
        #expect(log.all == ["action"])
    }

    @Test func probe_failure_releases() throws {
        try bus.register(
            TestDriver(log: log) { [log] binding in
                for number in 1...3 {
                    try binding.scope.add("\(number)") { log.note("\(number)") }
                }
                throw Failure()
            })
        let device = device("a")
        try bus.add(device)
        #expect(log.all == ["a.probe", "3", "2", "1"] && !device.isBound)
        #expect(device.probeFailure is Failure)
    }

    @Test func probe_defer_releases_and_retries() throws {
        try alone {
            let rules = Self()
            let (bus, log) = (rules.bus, rules.log)
            let (releases, isHere) = (Shared(), Shared())
            try bus.register(
                TestDriver(log: log) { binding in
                    guard binding.device.name == "a" else { return }
                    try binding.scope.add("action") { releases.add() }
                    if isHere.value == 0 { throw ProbeDeferral("something is missing") }
                })
            let device = device("a")
            try bus.add(device)
            var counts = [releases.value]
            expect(device.isDeferred && !device.isBound)
            isHere.add()
            try bus.add(DeviceModelTests.device("b"))
            counts.append(releases.value - counts[0])
            expect(device.isBound && !device.isDeferred)
            try device.unbind()
            counts.append(releases.value - counts[0] - counts[1])
            expect(counts == [1, 0, 1])
        }
    }

    @Test func detach_order() throws {
        let events = bus.events()
        let (supplier, consumer) = (device("s"), device("c"))
        try bus.register(
            TestDriver(log: log) { [log] binding in
                let name = binding.device.name
                try binding.scope.associate(1, under: AssociationKey<Int>("data"))
                try binding.scope.add("1") { log.note("\(name).1") }
                try binding.scope.register("node") {
                } unregister: {
                    log.note("\(name).node")
                }
                try binding.scope.add("2") { log.note("\(name).2") }
            })
        try bus.add(supplier)
        try consumer.link(to: supplier)
        try bus.add(consumer)
        _ = log.take()
        var before: [String] = []
        for _ in 0..<4 { before.append("\(try #require(try events.next(within: .zero)))") }
        #expect(
            before == [
                "s added", "s bound by driver", "c added", "c bound by driver",
            ])
        try supplier.unbind()
        #expect(
            log.all == [
                "c.node", "c.remove", "c.2", "c.1", "s.node", "s.remove", "s.2", "s.1",
            ])
        var after: [String] = []
        for _ in 0..<4 { after.append("\(try #require(try events.next(within: .zero)))") }
        #expect(
            after == [
                "c unbinding by driver", "c unbound by driver", "s unbinding by driver",
                "s unbound by driver",
            ])
    }

    @Test func devm_lifetime_is_binding_not_object() throws {
        let directory = DeviceDirectory<Station>()
        try bus.register(
            TestDriver(log: log) { [log] binding in
                let register = try binding.acquire("register") {
                    41
                } release: { _ in
                    log.note("unmap")
                }
                try binding.addCharacterDevice("node", Station(register: register), in: directory)
            })
        let device = device("a")
        try bus.add(device)
        let file = try directory.openNow("node")
        #expect(try file.controlNow(1) == 42)
        try device.unbind()
        #expect(log.all == ["a.probe", "a.remove", "unmap"])
        #expect(
            error { _ = try file.controlNow(1) } == .noDevice(of: "node", operation: "control"))
    }

    @Test func add_action_after_device_del() throws {
        var device: Device? = try added(device("a"), probed: false)
        try device.map { try bus.remove($0) }
        try device?.scope.add("action") { [log] in log.note("action") }
        #expect(log.all == [])
        device = nil
        #expect(log.all == ["action"])
    }
}

/// What belongs to an object, and outlives the binding.
@Suite("drmm, of devices") struct DrmmDeviceRules {
    private let bus = Bus(name: "bus")
    private let log = Log()
    private let directory = DeviceDirectory<Station>()

    private func bound() throws -> Device {
        try bus.register(
            TestDriver(log: log) { [log, directory] binding in
                let node = try binding.addCharacterDevice("node", Station(), in: directory)
                _ = try node.scope.allocate("buffer", { 1 }) { _ in log.note("free") }
            })
        let device = device("a")
        try bus.add(device)
        _ = log.take()
        return device
    }

    @Test func outlives_unbind() throws {
        let device = try bound()
        let file = try directory.openNow("node")
        try device.unbind()
        #expect(log.take() == ["a.remove"])
        try file.close()
        #expect(log.take() == ["free"])
    }

    @Test func enter_exit_before_unplug() throws {
        let device = try bound()
        let file = try directory.openNow("node")
        #expect(try file.controlNow(7) == 7)
        try bus.remove(device)
    }

    @Test func enter_after_unplug() throws {
        let device = try bound()
        let file = try directory.openNow("node")
        try bus.remove(device)
        #expect(
            error { _ = try file.controlNow(7) } == .noDevice(of: "node", operation: "control"))
    }

    /// Each binding has a gate of its own: another device does not wait.
    @Test func unplug_is_global_srcu() throws {
        let device = try bound()
        try bus.register(TestDriver("second", compatible: ["second"]))
        let plain = Device(name: "c", compatible: ["second"])
        try bus.add(plain)
        let gate = Mutex<Gate?>(nil)
        try bus.register(
            TestDriver("third", compatible: ["third"]) { binding in
                gate.withLock { $0 = binding.gate }
            })
        let held = Device(name: "d", compatible: ["third"])
        try bus.add(held)
        try gate.withLock { $0 }?.withEntry { _ in
            try bus.remove(device)
            try bus.remove(plain)
            #expect(error { try bus.remove(held) } == .inside(of: "d", item: "removing d"))
            #expect(held.isBound)
        }
        try bus.remove(held)
        #expect(gate.withLock { $0 }?.isClosed == true)
    }
}
