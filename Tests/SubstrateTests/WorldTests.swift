// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Dispatch
import Glibc
import Substrate
import TestSupport
import Testing

/// What several threads share, reachable from a C function.
private let shared = Mutex(0)

private final class Pool: Sendable {
    static let key = WorldKey<Pool>()
}
private final class Mortal: Sendable {
    static let key = WorldKey<Mortal>()

    private let deaths: Counter
    init(_ deaths: Counter) { self.deaths = deaths }
    deinit { deaths.count.add(1, ordering: .relaxed) }
}
private final class OtherPool: Sendable {
    static let key = WorldKey<OtherPool>()
}

@Suite struct WorldTests {
    @Test func `an ordinary thread belongs to the process's world`() {
        #expect(World.current === World.process)
        #expect(World.process.processorCount >= 1)
        #expect(World.process.rescueDelay != nil)
    }

    @Test func `a world keeps one object of a kind`() throws {
        let world = World(processorCount: 3)
        #expect(world.processorCount == 3)
        let made = Counter()
        try together(4) { _ in
            _ = world.value(Pool.key) {
                made.count.add(1, ordering: .relaxed)
                return Pool()
            }
        }
        #expect(made.count.load(ordering: .relaxed) == 1)
        let pool = world.value(Pool.key) { Pool() }
        let other = World(processorCount: 3).value(Pool.key) { Pool() }
        #expect(pool !== other)
        let another = world.value(OtherPool.key) { OtherPool() }
        #expect(another === world.value(OtherPool.key) { OtherPool() })
    }

    @Test func `a world lets go of its objects when it ends`() {
        let deaths = Counter()
        for _ in 0..<2 {
            let world = World(processorCount: 1)
            #expect(world.isPristine)
            let made = world.value(Mortal.key) { Mortal(deaths) }
            #expect(!world.isPristine)
            #expect(made === world.value(Mortal.key) { Mortal(deaths) })
        }
        #expect(deaths.count.load(ordering: .relaxed) == 2)
    }

    @Test func `a thread that makes an object may register meanwhile`() async {
        await #expect(processExitsWith: .success) {
            let pool = World.process.value(Pool.key) {
                shared.withLock { $0 += 1 }
                return Pool()
            }
            precondition(World.process.value(Pool.key) { Pool() } === pool)
        }
    }

    @Test func `a forked child keeps the objects that have no threads`() async {
        await #expect(processExitsWith: .success) {
            let pool = World.process.value(Pool.key) { Pool() }
            let status = forkedChild {
                guard World.process.value(Pool.key, make: { Pool() }) === pool else { _exit(2) }
                _ = World.process.value(OtherPool.key) { OtherPool() }
            }
            precondition(status == 0)
        }
    }

    @Test func `too many keys are refused with a sentence`() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            for _ in 0..<100 { _ = WorldKey<Pool>() }
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("make each WorldKey once"))
    }

    @Test func `a block says to which world a thread belongs`() {
        let world = World(processorCount: 1)
        let block = unsafe quiesce_current_block()
        unsafe block.pointee.world = Unmanaged.passUnretained(world).toOpaque()
        let isCurrent = World.current === world
        unsafe block.pointee.world = nil
        #expect(isCurrent)
        #expect(World.current === World.process)
    }

    // Numbers belong to the process: each of these has one of its own, where no other test takes
    // any.

    @Test func `threads that have ended give their numbers back`() async {
        await #expect(processExitsWith: .success) {
            shared.withLock { $0 += 1 }
            let before = World.process.registeredThreadCount
            for _ in 0..<10 { try together(10) { _ in shared.withLock { $0 += 1 } } }
            precondition(World.process.registeredThreadCount == before)
            precondition(shared.withLock { $0 } == 101)
        }
    }

    @Test func `numbers are used again`() async {
        await #expect(processExitsWith: .success) {
            let largest = Counter()
            for _ in 0..<100 {
                try together(2) { _ in
                    largest.count.max(
                        Int(unsafe quiesce_current_block().pointee.id), ordering: .relaxed)
                }
            }
            precondition(largest.count.load(ordering: .relaxed) <= 3)
        }
    }

    @Test
    func `a foreign thread registers at its first use and gives its number back when it ends`()
        async
    {
        await #expect(processExitsWith: .success) {
            shared.withLock { $0 += 1 }
            let before = World.process.registeredThreadCount
            onForeignThread {
                precondition(unsafe quiesce_current_block().pointee.id == 0)
                shared.withLock { $0 += 1 }
                precondition(unsafe quiesce_current_block().pointee.id != 0)
                precondition(World.process.registeredThreadCount == 2)
            }
            precondition(World.process.registeredThreadCount == before)
            precondition(shared.withLock { $0 } == 2)
        }
    }

    @Test func `a foreign thread that uses nothing of ours is not registered`() async {
        await #expect(processExitsWith: .success) {
            let before = World.process.registeredThreadCount
            onForeignThread {
                precondition(unsafe quiesce_current_block().pointee.id == 0)
            }
            precondition(World.process.registeredThreadCount == before)
        }
    }

    @Test func `threads of Dispatch exclude each other`() {
        let count = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 64) { _ in
            for _ in 0..<50 { count.withLock { $0 += 1 } }
        }
        #expect(count.withLock { $0 } == 3200)
    }

    @Test func `a forked child starts afresh`() async {
        await #expect(processExitsWith: .success) {
            shared.withLock { $0 += 1 }
            let (leave, entered) = (Counter(), Counter())
            let free = Substrate.Mutex(5)
            let status = try inForkedChild(while: 3, leave: leave, entered: entered) {
                guard World.process.registeredThreadCount == 1 else { _exit(2) }
                free.withLock { $0 += 1 }
                guard free.withLock({ $0 }) == 6 else { _exit(3) }
                membarrier()
                guard (try? together(2) { _ in free.withLock { $0 += 1 } }) != nil else { _exit(4) }
                guard free.withLock({ $0 }) == 8 else { _exit(5) }
                guard World.process.registeredThreadCount == 1 else { _exit(6) }
            }
            precondition(status == 0, "\(String(describing: status))")
            precondition(free.withLock { $0 } == 5)
        }
    }
}

/// Forks while `count` other threads are registered and stand still.
private func inForkedChild(
    while count: Int, leave: Counter, entered: Counter, _ body: () -> Void
) throws -> Int32? {
    guard count > 0 else {
        waitUntil { entered.count.load(ordering: .acquiring) == 3 }
        defer { leave.count.store(1, ordering: .releasing) }
        return forkedChild(body)
    }
    let thread = try WorldThread.spawn {
        entered.count.add(1, ordering: .acquiringAndReleasing)
        waitUntil { leave.count.load(ordering: .acquiring) == 1 }
    }
    let status = try inForkedChild(while: count - 1, leave: leave, entered: entered, body)
    thread.join()
    return status
}
