// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import ExploringSupport
import Glibc
import Quiesce
import Substrate
import TestSupport
import Testing

/// What a forked child finds of devices: the thread that forked goes on, and nobody else is there.
@Suite struct DeviceForkTests {
    @Test func `a child unbinds a device whose operation its parent's thread runs`() async {
        await #expect(processExitsWith: .success) { try forkAmongOperations() }
    }

    @Test func `a child goes on with an unbinding that a thread of its parent had begun`() async {
        await #expect(processExitsWith: .success) { try forkAmongRemovals() }
    }

    @Test func `a child binds a device that a thread of its parent was probing`() async {
        await #expect(processExitsWith: .success) { try forkAmongProbes() }
    }

    @Test func `a device that is gone in the child is there in the parent`() async {
        await #expect(processExitsWith: .success) { try forkAndRemove() }
    }
}

/// A device that is bound, with a file of it.
private struct Bench {
    let bus = Bus(name: "bench")
    let device = Device(name: "device", compatible: ["test"])
    let driver: TestDriver
    let log = Log()
    let file: OpenFile<Halting>

    /// - Parameter halt: called in each operation.
    init(
        remove: @escaping @Sendable () -> Void = {}, halt: @escaping @Sendable () -> Void = {}
    ) throws {
        let (directory, log) = (DeviceDirectory<Halting>(), log)
        driver = TestDriver(
            log: log,
            probe: { try $0.addCharacterDevice("node", Halting(log, halt), in: directory) },
            remove: { _ in remove() })
        try bus.register(driver)
        try bus.add(device)
        file = try directory.openNow("node")
    }
}

private final class Halting: FileOperations {
    private let log: Log
    private let halt: @Sendable () -> Void

    init(_ log: Log, _ halt: @escaping @Sendable () -> Void) {
        self.log = log
        self.halt = halt
    }

    func control(_ request: Int, _ file: Void, in entry: borrowing Gate.Entry) -> Int? {
        if request == 0 { halt() }
        return request
    }

    func close(_ file: Void) { log.note("close") }
}

/// Where a thread stands until it is told to go on.
private final class Halt: Sendable {
    private let isThere = Atomic(false)
    private let isOver = Atomic(false)

    func callAsFunction() {
        isThere.store(true, ordering: .releasing)
        while !isOver.load(ordering: .acquiring) { sched_yield() }
    }

    func meet() { while !isThere.load(ordering: .acquiring) { sched_yield() } }
    func end() { isOver.store(true, ordering: .releasing) }
}

private func isGone(_ file: OpenFile<Halting>) -> Bool {
    error { _ = try file.controlNow(1) } == .noDevice(of: "node", operation: "control")
}

private func forkAmongOperations() throws {
    let halt = Halt()
    let bench = try Bench(halt: { halt() })
    let file = bench.file
    let user = try WorldThread.spawn { precondition((try? file.controlNow(0)) == 0) }
    halt.meet()
    let status = forkedChild {
        precondition(try! file.controlNow(1) == 1)
        try! bench.device.unbind(within: .seconds(10))
        precondition(isGone(file))
        try! file.close(within: .seconds(10))
        try! bench.device.bind(to: bench.driver)
        precondition(bench.device.isBound)
    }
    precondition(status == 0)
    halt.end()
    user.join()
    try bench.device.unbind()
    try file.close()
}

private func forkAmongRemovals() throws {
    let halt = Halt()
    let bench = try Bench(remove: { halt() })
    let unbinder = try WorldThread.spawn { [device = bench.device] in try! device.unbind() }
    halt.meet()
    let status = forkedChild {
        halt.end()
        try! bench.device.unbind(within: .seconds(10))
        precondition(!bench.device.isBound)
        precondition(isGone(bench.file))
        try! bench.device.bind(to: bench.driver)
        precondition(bench.device.isBound)
    }
    precondition(status == 0)
    halt.end()
    unbinder.join()
    precondition(!bench.device.isBound)
}

private func forkAmongProbes() throws {
    let (halt, log) = (Halt(), Log())
    let (bus, device) = (Bus(name: "bench"), Device(name: "device", compatible: ["test"]))
    try bus.add(device)
    let driver = TestDriver(log: log, probe: { _ in halt() })
    let registrar = try WorldThread.spawn { try! bus.register(driver) }
    halt.meet()
    let status = forkedChild {
        halt.end()
        // What the thread had begun is undone first.
        try! device.unbind(within: .seconds(10))
        try! device.bind(to: driver)
        precondition(device.isBound)
    }
    precondition(status == 0)
    halt.end()
    registrar.join()
    precondition(device.isBound)
}

private func forkAndRemove() throws {
    let bench = try Bench()
    let status = forkedChild {
        try! bench.bus.remove(bench.device)
        precondition(isGone(bench.file))
        try! bench.file.close()
        precondition(bench.log.all.suffix(1) == ["close"])
    }
    precondition(status == 0)
    let answer = try bench.file.controlNow(1)
    precondition(answer == 1)
    try bench.file.close()
    try bench.bus.remove(bench.device)
}
