// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import Explorer
import ExploringSupport
import Quiesce
import Substrate
import TestSupport
import Testing

/// A node of a device, which threads of an exploration share.
private struct Fixture: Sendable {
    let bus = Bus(name: "bus")
    let log = Log()
    let device = DeviceModelTests.device("a")
    let directory = DeviceDirectory<Station>()
    let station: Station
    private let bound = Bound()

    private final class Bound: Sendable {
        let binding = Mutex<Binding?>(nil)
    }

    init() {
        let (log, bound) = (log, bound)
        let station = Station(log: Log())
        self.station = station
        let directory = directory
        sure {
            try bus.register(
                TestDriver(log: log) { binding in
                    try binding.addCharacterDevice("node", station, in: directory)
                    bound.binding.withLock { $0 = binding }
                })
            try bus.add(device)
        }
    }

    /// Takes the node away, as unbinding does, and nothing else.
    func endNode() {
        sure {
            guard let scope = bound.binding.withLock({ $0?.scope }),
                let node = scope.resource(named: "node")
            else { return expect(false) }
            let isMine = try scope.release(node)
            expect(isMine)
        }
    }

    func open() -> OpenFile<Station>? { try? directory.openNow("node") }
}

/// Files between threads, and between tasks.
@Suite struct FileTests {
    // MARK: In order

    @Test func `a file reads what comes, and says when there is something`() throws {
        let fixture = Fixture()
        let file = try fixture.directory.openNow("node")
        #expect(try file.readNow(4) == nil && file.pollNow(.readable) == nil)
        fixture.station.send([1, 2, 3])
        #expect(try file.poll([.readable, .writable]) == .readable)
        #expect(try file.read(2) == [1, 2] && file.read(2) == [3])
        #expect(try file.write([1]) == 1 && file.control(5) == 5)
        #expect(throws: QuiesceError.timedOut(of: "node", occupants: [])) {
            try file.read(1, within: .zero)
        }
        #expect(throws: QuiesceError.timedOut(of: "node", occupants: [])) {
            try file.read(1, until: .now)
        }
    }

    @Test func `an exclusive file keeps others out, until it is closed`() throws {
        let fixture = Fixture()
        let node = try #require(fixture.directory["node"])
        let shared = try node.openNow()
        let busy = QuiesceError.busy(of: "node", operation: "opening")
        #expect(error { _ = try node.openNow(.exclusive) } == busy)
        #expect(
            error { _ = try node.open(.exclusive, within: .zero) }
                == .timedOut(of: "node", occupants: []))
        try shared.close()
        let exclusive = try node.openNow(.exclusive)
        #expect(error { _ = try node.openNow() } == busy && node.openCount == 1)
        try exclusive.close()
        #expect(try node.open(within: .zero).control(1) == 1)
    }

    @Test func `a file is closed once`() throws {
        let fixture = Fixture()
        let node = try #require(fixture.directory["node"])
        let file = try node.openNow()
        try file.close()
        #expect(error { try file.close() } == .closed("node"))
        #expect(error { _ = try file.controlNow(1) } == .closed("node"))
        #expect(error { _ = try file.pollNow(.readable) } == .closed("node"))
        do { _ = try node.openNow() }
        #expect(node.openCount == 0)
    }

    @Test func `an open that the driver refuses leaves nothing`() throws {
        struct Refusing: FileOperations {
            func open(in entry: borrowing Gate.Entry) throws { throw Failure() }
            func close(_ file: Void) { Issue.record("the file was never open") }
        }
        let bus = Bus(name: "bus")
        let directory = DeviceDirectory<Refusing>()
        try bus.register(
            TestDriver { binding in
                try binding.addCharacterDevice("node", Refusing(), in: directory)
            })
        try bus.add(device("a"))
        #expect(throws: Failure.self) { _ = try directory.openNow("node", .exclusive) }
        #expect(directory["node"]?.openCount == 0)
    }

    @Test func `a second node of one name is refused, and the probe with it`() throws {
        let fixture = Fixture()
        let second = device("b")
        try fixture.bus.add(second)
        #expect(!second.isBound && second.probeFailure as? QuiesceError == .exists("node"))
        #expect(fixture.directory.names == ["node"])
        let file = try fixture.directory.openNow("node")
        #expect(try file.control(1) == 1)
    }

    @Test func `an operation that closes its file is told that it is inside`() throws {
        final class Closing: FileOperations {
            let file = Mutex<OpenFile<Closing>?>(nil)
            func control(_ request: Int, _ file: Void, in entry: borrowing Gate.Entry) throws
                -> Int?
            {
                try self.file.withLock { $0 }?.close()
                return request
            }
        }
        let (bus, directory) = (Bus(name: "bus"), DeviceDirectory<Closing>())
        let operations = Closing()
        try bus.register(
            TestDriver { binding in
                try binding.addCharacterDevice("node", operations, in: directory)
            })
        try bus.add(device("a"))
        let file = try directory.openNow("node")
        operations.file.withLock { $0 = file }
        #expect(error { _ = try file.control(1) } == .inside(of: "node"))
        operations.file.withLock { $0 = nil }
        try file.close()
    }

    // MARK: Explored

    /// An operation, which is made whole or finds that the node is gone.
    private static func controlOrNoDevice<Operations: FileOperations>(_ file: OpenFile<Operations>)
    where Operations.Request == Int, Operations.Reply == Int {
        do {
            let reply = try file.controlNow(1)
            expect(reply == 1)
        } catch {
            expect(error as? QuiesceError == .noDevice(of: "node", operation: "control"))
        }
    }

    /// A read that nothing comes for, and that the node's end wakes.
    private static func readAgainst(
        _ name: String, _ end: @escaping @Sendable (Fixture) -> Void
    ) -> Program {
        { world in
            let fixture = Fixture()
            guard let file = fixture.open() else { return }
            world.thread("reader") {
                expect(
                    error { _ = try file.read(1) } == .noDevice(of: "node", operation: "read"))
            }
            world.thread(name) { end(fixture) }
        }
    }

    static let openAgainstUnbind: Program = { world in
        let fixture = Fixture()
        world.thread("user") {
            do {
                let file = try fixture.directory.openNow("node")
                controlOrNoDevice(file)
                try file.close()
            } catch {
                expect(error as? QuiesceError == .noDevice(of: "node", operation: "opening"))
            }
        }
        world.thread("hotplug") { sure { try fixture.device.unbind() } }
    }

    /// The driver's memory is plain: a use that nothing orders before its end is a race.
    static let operationAgainstUnbind: Program = { world in
        let (bus, directory) = (Bus(name: "bus"), DeviceDirectory<Plain>())
        let device = device("a")
        sure {
            try bus.register(
                TestDriver { binding in
                    let memory = Unsynchronized(1)
                    memory.label("memory")
                    let plain = Plain(memory)
                    try binding.scope.add("memory") { plain.end() }
                    try binding.addCharacterDevice("node", plain, in: directory)
                })
            try bus.add(device)
        }
        guard let file = try? directory.openNow("node") else { return }
        world.thread("user") { controlOrNoDevice(file) }
        world.thread("hotplug") { sure { try device.unbind() } }
    }

    private final class Plain: FileOperations {
        private let memory: Unsynchronized<Int>

        init(_ memory: consuming Unsynchronized<Int>) { self.memory = memory }

        func end() { memory.store(0) }
        func control(_ request: Int, _ file: Void, in entry: borrowing Gate.Entry) -> Int? {
            memory.load()
        }
    }

    static let readAgainstUnbind = readAgainst("hotplug") { fixture in
        sure { try fixture.device.unbind() }
    }

    static let readAgainstData: Program = { world in
        let fixture = Fixture()
        guard let file = fixture.open() else { return }
        world.thread("reader") {
            sure {
                let bytes = try file.read(1)
                expect(bytes == [7])
            }
        }
        world.thread("driver") {
            fixture.station.send([7])
            fixture.directory["node"]?.wake()
        }
    }

    static let readAgainstClose: Program = { world in
        let fixture = Fixture()
        guard let file = fixture.open() else { return }
        world.thread("reader") { expect(error { _ = try file.read(1) } == .closed("node")) }
        world.thread("closer") { sure { try file.close() } }
    }

    static let twoClose: Program = { world in
        let fixture = Fixture()
        guard let file = fixture.open() else { return }
        let closes = Shared()
        for name in ["first", "second"] {
            world.thread(name) {
                let error = error { try file.close() }
                if error == nil { closes.add() } else { expect(error == .closed("node")) }
            }
        }
        world.afterwards {
            expect(closes.value == 1 && fixture.directory["node"]?.openCount == 0)
        }
    }

    static let exclusiveWaits: Program = { world in
        let fixture = Fixture()
        guard let node = fixture.directory["node"], let file = try? node.openNow(.exclusive)
        else { return }
        world.thread("opener") {
            sure {
                let reply = try node.open(.exclusive).control(1)
                expect(reply == 1)
            }
        }
        world.thread("closer") { sure { try file.close() } }
    }

    static let clockAgainstClose: Program = { world in
        let provider = ClockProvider(name: "clk", Quiet())
        guard let clock = try? provider.clock() else { return }
        world.thread("consumer") {
            let error = error { try clock.enable() }
            if error == nil {
                sure { try clock.disable() }
            } else {
                expect(error == .noDevice(of: "clk", operation: "enabling"))
            }
        }
        world.thread("provider") { sure { try provider.close() } }
        world.afterwards { expect(provider.enableCount == 0) }
    }

    private struct Quiet: ClockHardware {
        private let isOn = Switch()

        final class Switch: Sendable {
            let isOn = Unsynchronized(false)
            init() { isOn.label("is on") }
        }

        func enable() {
            expect(!isOn.isOn.load())
            isOn.isOn.store(true)
        }
        func disable() {
            expect(isOn.isOn.load())
            isOn.isOn.store(false)
        }
        func rate() -> UInt64 { 0 }
        func setRate(_ hertz: UInt64) -> UInt64 { hertz }
    }

    static let operationAgainstEnd: Program = { world in
        let fixture = Fixture()
        guard let file = fixture.open() else { return }
        world.thread("user") { controlOrNoDevice(file) }
        world.thread("driver") { fixture.endNode() }
        world.afterwards { expect(error { _ = try file.controlNow(1) } != nil) }
    }

    static let readAgainstEnd = readAgainst("driver") { $0.endNode() }

    static let openAgainstEnd: Program = { world in
        let fixture = Fixture()
        guard let node = fixture.directory["node"] else { return }
        world.thread("opener") {
            do { try node.openNow().close() } catch {
                expect(error as? QuiesceError == .noDevice(of: "node", operation: "opening"))
            }
        }
        world.thread("driver") { fixture.endNode() }
        world.afterwards { expect(node.openCount == 0 && node.isGone) }
    }

    static let programs: [(name: String, program: Program)] = [
        ("operation against the node's end", operationAgainstEnd),
        ("read against the node's end", readAgainstEnd),
        ("open against the node's end", openAgainstEnd),
        ("operation against unbind", operationAgainstUnbind),
        ("read against data", readAgainstData),
        ("read against close", readAgainstClose),
        ("exclusive waits", exclusiveWaits),
        ("clock against close", clockAgainstClose),
    ]

    @Test(arguments: programs.indices) func `every interleaving ends well`(_ index: Int) throws {
        let (name, program) = Self.programs[index]
        try verify(name, program)
    }

    /// The parts of these are explored to the end: above, and two closings with `Revocable`.
    static let largePrograms: [(name: String, program: Program, preemptions: Int?)] = [
        ("open against unbind", openAgainstUnbind, nil),
        ("read against unbind", readAgainstUnbind, nil),
        ("two close", twoClose, 2),
    ]

    @Test(arguments: largePrograms.indices)
    func `every coarse interleaving ends well`(_ index: Int) throws {
        let (name, program, preemptions) = Self.largePrograms[index]
        try verify(name, preemptions: preemptions, granularity: .coarse, program)
    }

    // MARK: Tasks

    @Test func `a task that reads wakes up when the device goes`() async throws {
        try await verifyTasks("read in a task", granularity: .coarse) { _ in
            let fixture = Fixture()
            guard let file = fixture.open() else { return }
            let reader = Task(name: "reader") { _ = try await file.read(1) }
            do { try await fixture.device.unbind() } catch { expect(false, "\(error)") }
            do {
                try await reader.value
                expect(false)
            } catch {
                expect(error as? QuiesceError == .noDevice(of: "node", operation: "read"))
            }
            do { try await file.close() } catch { expect(false, "\(error)") }
        }
    }

    @Test func `a task that is cancelled while it reads leaves nothing`() async throws {
        try await verifyTasks("cancelled read", granularity: .coarse) { _ in
            let fixture = Fixture()
            guard let file = fixture.open() else { return }
            let reader = Task(name: "reader") { _ = try await file.read(1) }
            reader.cancel()
            do {
                try await reader.value
                expect(false)
            } catch { expect(error is CancellationError, "\(error)") }
            do {
                try await file.close()
                try await fixture.bus.close()
            } catch { expect(false, "\(error)") }
        }
    }

    @Test func `a task that unbinds waits without a thread, and may be cancelled`() async throws {
        try await verifyTasks("cancelled unbind", executions: 2_000, granularity: .coarse) { _ in
            let (bus, log) = (Bus(name: "bus"), Log())
            let device = device("a")
            let held = Mutex<Revocable<Int>?>(nil)
            do {
                try await bus.register(
                    TestDriver(log: log) { binding in
                        let value = try binding.scope.acquire("value") { 1 }
                        held.withLock { $0 = value }
                    })
                try await bus.add(device)
            } catch { expect(false, "\(error)") }
            guard let value = held.withLock({ $0 }) else { return }
            let user = Task(name: "user") {
                await value.withValue { (_: Int) async in await Task.yield() }
            }
            let remover = Task(name: "remover") { try await bus.remove(device) }
            remover.cancel()
            do { try await remover.value } catch {
                expect(error is CancellationError, "\(error)")
            }
            _ = await user.value
            do { try await bus.remove(device) } catch { expect(false, "\(error)") }
            expect(log.all == ["a.probe", "a.remove"] && bus.deviceCount == 0, "\(log.all)")
        }
    }
}
