// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import Explorer
import ExploringSupport
import Quiesce
import Substrate
import TestSupport
import Testing

/// Devices, drivers and links between threads.
@Suite struct DeviceTests {
    // MARK: In order

    @Test func `a driver takes the devices that match it, whichever come first`() throws {
        let (bus, log) = (Bus(name: "bus"), Log())
        let (early, late) = (device("early"), device("late"))
        try bus.add(early)
        try bus.add(Device(name: "other", compatible: ["else"]))
        try bus.register(TestDriver(log: log))
        try bus.add(late)
        #expect(log.take() == ["early.probe", "late.probe"])
        #expect(bus.devices.map(\.name) == ["early", "other", "late"])
        #expect(bus.device(named: "late") === late && late.driver?.name == "driver")
        try bus.unregister(#require(late.driver))
        #expect(Set(log.all) == ["early.remove", "late.remove"] && !early.isBound)
    }

    @Test func `another driver is tried after one that fails`() throws {
        let (bus, log) = (Bus(name: "bus"), Log())
        try bus.register(TestDriver("first", log: log) { _ in throw Failure() })
        try bus.register(TestDriver("second", log: log))
        let events = bus.events()
        let device = device("a")
        try bus.add(device)
        #expect(device.driver?.name == "second" && device.probeFailure == nil)
        var seen: [String] = []
        for _ in 0..<3 { seen.append("\(try #require(try events.next(within: .zero)))") }
        #expect(seen == ["a added", "a probe failed (Failure()) by first", "a bound by second"])
    }

    @Test func `the state that probe returns is removed`() throws {
        final class Counting: Driver {
            let name = "counting"
            let log = Log()
            func matches(_ device: Device) -> Bool { true }
            func probe(_ binding: Binding) throws -> Int { 42 }
            func remove(_ state: Int, _ binding: Binding) { log.note("\(state)") }
        }
        let (bus, driver) = (Bus(name: "bus"), Counting())
        try bus.register(driver)
        try bus.add(Device(name: "a"))
        try bus.close()
        #expect(driver.log.all == ["42"])
    }

    @Test func `what is closed takes nothing more`() throws {
        let bus = Bus(name: "bus")
        let events = bus.events()
        try bus.close()
        try bus.close()
        #expect(error { try bus.add(device("a")) } == .closed("bus"))
        #expect(error { try bus.register(TestDriver()) } == .closed("bus"))
        #expect(try events.next(within: .zero) == nil && bus.events().next(within: .zero) == nil)
    }

    // MARK: Misuse

    @Test func `a device that is bound is not probed again`() throws {
        let bus = Bus(name: "bus")
        let (driver, other) = (TestDriver(), TestDriver("other"))
        let device = device("a")
        #expect(
            error { try device.bind(to: driver) }
                == .noDevice(of: "a", operation: "binding to driver"))
        try bus.register(driver)
        try bus.add(device)
        #expect(
            error { try device.bind(to: driver) }
                == .busy(of: "a", operation: "binding to driver"))
        #expect(error { try device.bind(to: other) } == .closed("the driver other"))
        #expect(error { try bus.register(driver) } == .exists("the driver driver on bus"))
        #expect(error { try bus.add(device) } == .exists("a on bus"))
        #expect(error { try bus.unregister(other) } == .closed("the driver other"))
        #expect(driver.log.all == ["a.probe"])
    }

    @Test func `a callback that would wait for itself is told so`() throws {
        let (bus, found) = (Bus(name: "bus"), Log())
        let note: @Sendable (String, () throws -> Void) -> Void = { what, body in
            found.note("\(what): \(error(of: body).map { "\($0)" } ?? "none")")
        }
        let driver = TestDriver { binding in
            note("unbind") { try binding.device.unbind() }
            note("remove") { try bus.remove(binding.device) }
            note("close") { try bus.close() }
        } remove: { binding in
            note("unbind") { try binding.device.unbind() }
        }
        try bus.register(driver)
        let device = device("a")
        try bus.add(device)
        let inside = { (operation: String) in
            "\(operation), which runs on a, would wait for itself to end"
        }
        #expect(
            found.take() == [
                "unbind: " + inside("unbinding"), "remove: " + inside("removing a"),
                "close: " + inside("closing bus"),
            ])
        #expect(device.isBound)
        try device.unbind()
        #expect(found.all == ["unbind: " + inside("unbinding")] && !device.isBound)
    }

    @Test func `an operation that would wait for itself is told so, and nothing has changed`()
        throws
    {
        final class Closing: FileOperations {
            let action: @Sendable () throws -> Void
            init(_ action: @escaping @Sendable () throws -> Void) { self.action = action }
            func control(_ request: Int, _ file: Void, in entry: borrowing Gate.Entry) throws
                -> Int?
            {
                try action()
                return request
            }
        }
        let (bus, log) = (Bus(name: "bus"), Log())
        let (supplier, consumer) = (device("s"), device("c"))
        let other = device("d")
        try consumer.link(to: supplier)
        try other.link(to: supplier)
        let directory = DeviceDirectory<Closing>()
        try bus.register(
            TestDriver(log: log) { binding in
                guard binding.device === consumer else { return }
                try binding.addCharacterDevice(
                    "node", Closing { try supplier.unbind() }, in: directory)
            })
        for device in [supplier, other, consumer] { try bus.add(device) }
        _ = log.take()
        let file = try directory.openNow("node")
        #expect(error { try file.control(1) } == .inside(of: "c", item: "unbinding"))
        #expect(log.all == [] && supplier.isBound && consumer.isBound && other.isBound)
        try supplier.unbind()
    }

    @Test func `a release that throws is told, and the others take place`() throws {
        let (bus, log) = (Bus(name: "bus"), Log())
        try bus.register(
            TestDriver(log: log) { binding in
                try binding.scope.add("first") { log.note("first") }
                try binding.scope.add("failing") { throw Failure() }
                try binding.scope.register("registration") {
                } unregister: {
                    throw Failure()
                }
            })
        let device = device("a")
        try bus.add(device)
        guard case .releasesFailed(of: "a", let failures) = error(of: { try device.unbind() })
        else {
            Issue.record("no failure was told")
            return
        }
        #expect(failures.map(\.resource) == ["registration", "failing"])
        #expect(log.all == ["a.probe", "a.remove", "first"] && !device.isBound)
    }

    @Test func `a probe that fails by hand tells why, and what its releases threw`() throws {
        let bus = Bus(name: "bus")
        let driver = TestDriver(compatible: []) { _ in throw Failure() }
        let failing = TestDriver("failing", compatible: []) { binding in
            try binding.scope.add("action") { throw Failure() }
            throw Failure()
        }
        try bus.register(driver)
        try bus.register(failing)
        let device = device("a")
        try bus.add(device)
        #expect(throws: Failure.self) { try device.bind(to: driver) }
        guard
            case .releasesFailed(of: "a", let failures) = error(of: { try device.bind(to: failing) }
            )
        else {
            Issue.record("no failure was told")
            return
        }
        #expect(failures.map(\.resource) == ["a", "action"])
    }

    @Test func `an unbind that ran out of time goes on`() throws {
        let (bus, log) = (Bus(name: "bus"), Log())
        let held = Mutex<Revocable<Int>?>(nil)
        try bus.register(
            TestDriver(log: log) { binding in
                let value = try binding.scope.acquire("value") {
                    1
                } release: { _ in
                    log.note("released")
                }
                held.withLock { $0 = value }
            })
        let device = device("a")
        try bus.add(device)
        let value = try #require(held.withLock { $0 })
        let user = try #require(TaskLike(value))
        guard case .timedOut(of: "value", _, _) = error(of: { try device.unbind(within: .zero) })
        else {
            Issue.record("the unbind did not time out")
            return
        }
        #expect(!device.isBound && log.take() == ["a.probe", "a.remove"])
        #expect(
            error { try device.bind(to: TestDriver()) } == .closed("the driver driver"))
        user.leave()
        try bus.remove(device)
        #expect(log.all == ["released"])
    }

    /// A user of a value on a thread of its own, until it leaves.
    private final class TaskLike: Sendable {
        private let inside = WaitPoint.Shared()
        private let goOn = WaitPoint.Shared()
        private let thread = Mutex<WorldThread?>(nil)

        init?(_ value: Revocable<Int>) {
            let thread = try? WorldThread.spawn(name: "user") { [inside, goOn] in
                value.withValue { _ in
                    inside.advance(to: 1)
                    goOn.wait(for: 1)
                }
            }
            guard let thread else { return nil }
            let box = TakeOnce(thread)
            self.thread.withLock { $0 = box.take() }
            inside.wait(for: 1)
        }

        func leave() {
            goOn.advance(to: 1)
            let thread = thread.withLock { $0.take() }
            thread?.join()
        }
    }

    // MARK: Explored

    /// A bus whose driver notes what it is asked.
    private static func bus(_ log: Log) -> Bus {
        let bus = Bus(name: "bus")
        sure { try bus.register(TestDriver(log: log)) }
        return bus
    }

    static let addAgainstRegister: Program = { world in
        let (bus, log) = (Bus(name: "bus"), Log())
        world.thread("adder") { sure { try bus.add(device("a")) } }
        world.thread("registrar") { sure { try bus.register(TestDriver(log: log)) } }
        world.afterwards {
            expect(log.all == ["a.probe"] && bus.devices.allSatisfy { $0.isBound }, "\(log.all)")
        }
    }

    static let twoUnbind: Program = { world in
        let (log, bus, device) = (Log(), Bus(name: "bus"), device("a"))
        // Plain: who returns from the unbinding finds what was done in it.
        let removals = Removals()
        sure {
            try bus.register(
                TestDriver(log: log, remove: { _ in removals.count.withValue { $0 += 1 } }))
            try bus.add(device)
        }
        world.thread("unbinder") {
            sure { try device.unbind() }
            expect(removals.count.load() == 1)
        }
        world.thread("remover") {
            sure { try bus.remove(device) }
            expect(removals.count.load() == 1 && device.bus == nil)
        }
        world.afterwards { expect(log.all == ["a.probe", "a.remove"], "\(log.all)") }
    }

    private final class Removals: Sendable {
        let count = Unsynchronized(0)
        init() { count.label("removals") }
    }

    static let consumerAgainstSupplier: Program = { world in
        let log = Log()
        let bus = bus(log)
        let (supplier, consumer) = (device("s"), device("c"))
        sure {
            try bus.add(supplier)
            try consumer.link(to: supplier)
        }
        world.thread("adder") { sure { try bus.add(consumer) } }
        world.thread("unbinder") { sure { try supplier.unbind() } }
        world.afterwards {
            expect(!supplier.isBound && !consumer.isBound)
            let whole = ["s.probe", "c.probe", "c.remove", "s.remove"]
            expect([whole, ["s.probe", "s.remove"]].contains(log.all), "\(log.all)")
        }
    }

    /// What a probe lacks comes at any moment: it is not overlooked.
    static let deferralAgainstProgress: Program = { world in
        let (bus, isThere) = (Bus(name: "bus"), Shared())
        let device = device("a")
        sure {
            try bus.register(
                TestDriver("a", compatible: ["test"]) { _ in
                    if isThere.value == 0 { throw ProbeDeferral("it is not there") }
                })
            try bus.register(TestDriver("b", compatible: ["b"]) { _ in isThere.add() })
        }
        world.thread("adder") { sure { try bus.add(device) } }
        world.thread("supplier") {
            sure { try bus.add(Device(name: "b", compatible: ["b"])) }
        }
        world.afterwards { expect(device.isBound) }
    }

    static let unregisterAgainstAdd: Program = { world in
        let (bus, log) = (Bus(name: "bus"), Log())
        let driver = TestDriver(log: log)
        sure { try bus.register(driver) }
        world.thread("adder") { sure { try bus.add(device("a")) } }
        world.thread("remover") { sure { try bus.unregister(driver) } }
        world.afterwards {
            expect(bus.devices.allSatisfy { !$0.isBound })
            expect([[], ["a.probe", "a.remove"]].contains(log.all), "\(log.all)")
        }
    }

    /// No driver: the order of the two is what counts.
    static let childAgainstParent: Program = { world in
        let bus = Bus(name: "bus")
        let parent = device("p")
        sure { try bus.add(parent) }
        world.thread("adder") {
            let error = error { try bus.add(device("c", parent: parent)) }
            expect(error == nil || error == .noDevice(of: "p", operation: "adding c"))
        }
        world.thread("remover") { sure { try bus.remove(parent) } }
        world.afterwards { expect(bus.deviceCount == 0) }
    }

    static let removeAgainstRegister: Program = { world in
        let (bus, log) = (Bus(name: "bus"), Log())
        let device = device("a")
        sure { try bus.add(device) }
        world.thread("remover") { sure { try bus.remove(device) } }
        world.thread("registrar") { sure { try bus.register(TestDriver(log: log)) } }
        world.afterwards {
            expect(!device.isBound && device.bus == nil)
            expect([[], ["a.probe", "a.remove"]].contains(log.all), "\(log.all)")
        }
    }

    /// Nobody probes a device that has begun to leave.
    static let removeAgainstAnotherDriver: Program = { world in
        let (bus, log) = (Bus(name: "bus"), Log())
        let device = device("a")
        sure {
            try bus.register(TestDriver("first"))
            try bus.add(device)
        }
        world.thread("remover") { sure { try bus.remove(device) } }
        world.thread("registrar") { sure { try bus.register(TestDriver("second", log: log)) } }
        world.afterwards { expect(log.all == [] && device.bus == nil, "\(log.all)") }
    }

    /// A driver that comes while another one fails is not overlooked.
    static let registerAgainstFailure: Program = { world in
        let bus = Bus(name: "bus")
        let device = device("a")
        sure { try bus.register(TestDriver("failing") { _ in throw Failure() }) }
        world.thread("adder") { sure { try bus.add(device) } }
        world.thread("registrar") { sure { try bus.register(TestDriver("good")) } }
        world.afterwards { expect(device.driver?.name == "good") }
    }

    static let eventsAgainstAdd: Program = { world in
        let bus = Bus(name: "bus")
        let events = bus.events()
        world.thread("listener") {
            expect((try? events.next())??.description == "a added")
            expect((try? events.next())??.description == "a removed")
            if let event = try? events.next() { expect(false, "\(event)") }
        }
        world.thread("hotplug") {
            sure {
                try bus.add(device("a"))
                try bus.close()
            }
        }
    }

    static let programs: [(String, Program)] = [
        ("add against register", addAgainstRegister),
        ("consumer against supplier", consumerAgainstSupplier),
        ("deferral against progress", deferralAgainstProgress),
        ("unregister against add", unregisterAgainstAdd),
        ("child against parent", childAgainstParent),
        ("remove against register", removeAgainstRegister),
        ("remove against another driver", removeAgainstAnotherDriver),
        ("register against failure", registerAgainstFailure),
        ("events against add", eventsAgainstAdd),
    ]

    @Test(arguments: programs.indices) func `every interleaving ends well`(_ index: Int) throws {
        let (name, program) = Self.programs[index]
        try verify(name, program)
    }

    /// Finely it has too many interleavings to see all.
    @Test func `every coarse interleaving of two that unbind ends well`() throws {
        try verify("two that unbind", granularity: .coarse, Self.twoUnbind)
        try verify("two that unbind", preemptions: 1, Self.twoUnbind)
    }
}
