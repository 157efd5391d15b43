// SPDX-License-Identifier: Apache-2.0

import Glibc
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// A system that has no thread to give, for a while.
@Suite struct WorkerShortageTests {
    @Test func `an item that waits for another has a worker started once there are threads again`()
        async
    {
        await #expect(processExitsWith: .success) {
            try waitThroughShortage { queue, first, second in
                _ = queue.enqueue { second.advance(to: 1) }
                first.store(true, ordering: .releasing)
                WorldClock.sleep(for: .milliseconds(50))
            }
        }
    }

    @Test func `what is enqueued later has a worker started for what was enqueued in vain`() async {
        await #expect(processExitsWith: .success) {
            try waitThroughShortage { queue, first, second in
                first.store(true, ordering: .releasing)
                // It blocks. Enqueued now, what it waits for has no worker.
                waitUntil { queue.pool.census.running == 0 }
                _ = queue.enqueue { second.advance(to: 1) }
                #expect(queue.pool.isShort)
            } then: { queue in
                _ = queue.enqueue {}
                #expect(!queue.pool.isShort)
            }
        }
    }

    @Test func `a delayed item fires once there is a thread for the timers`() async {
        await #expect(processExitsWith: .success) { try armThroughShortage() }
    }

    @Test func `an item that was delayed in vain fires once another item is delayed`() async {
        await #expect(processExitsWith: .success) {
            try delayInVain { queue, _ in
                _ = queue.enqueue(DelayedWork(name: "other") {}, after: .seconds(3600))
            }
        }
    }

    @Test func `an item that was delayed in vain fires once an idle queue gets work`() async {
        await #expect(processExitsWith: .success) {
            try delayInVain { _, _ in _ = WorkQueue(name: "idle").enqueue {} }
        }
    }

    @Test func `an item that was delayed in vain fires once somebody waits for a queue`() async {
        await #expect(processExitsWith: .success) {
            try delayInVain { queue, held in
                // The item before has not ended, so there is something to wait for.
                let waiter = try WorldThread.spawn { try! queue.flush() }
                waitUntil { queue.isAwaited }
                held.release()
                waiter.join()
            }
        }
    }

    @Test func `a pool that was refused its first worker runs all once it has one`() async {
        await #expect(processExitsWith: .success) {
            let queue = WorkQueue(name: "queue", .ordered)
            let runs = Runs()
            try withoutThreads {
                _ = queue.enqueue { runs.count() }
                _ = queue.enqueue { runs.count() }
                #expect(queue.pool.isShort && queue.pool.census.workers == 0)
            }
            _ = queue.enqueue { runs.count() }
            try await queue.close()
            #expect(runs.total == 3 && !queue.pool.isShort)
        }
    }

    @Test func `who waits for a queue whose pool was refused its first worker gets it one`() async {
        await #expect(processExitsWith: .success) {
            let queue = WorkQueue(name: "queue")
            let runs = Runs()
            try withoutThreads { _ = queue.enqueue { runs.count() } }
            try await queue.flush()
            #expect(runs.total == 1)
        }
    }

    @Test func `a stuck item whose rescuer was refused is rescued once there are threads again`()
        async
    {
        await #expect(processExitsWith: .success) {
            let pool = WorkerPool(size: 1, rescueDelay: .milliseconds(1))
            _ = World.current.value(WorkerPool.key) { pool }
            let (stuck, other) = (WorkQueue(name: "stuck"), WorkQueue(name: "other"))
            let flags = Flags()
            _ = stuck.enqueue {
                flags.hasStarted.store(true, ordering: .releasing)
                while !flags.first.load(ordering: .acquiring) { sched_yield() }
            }
            waitUntil { flags.hasStarted.load(ordering: .acquiring) }
            try withoutThreads {
                _ = other.enqueue { flags.first.store(true, ordering: .releasing) }
                #expect(!pool.state.withLock { $0.isWatched })
            }
            _ = WorkQueue(name: "third").enqueue {}
            for queue in [stuck, other] {
                try await queue.flush(until: WorldClock.now() + .seconds(60))
            }
        }
    }
}

/// Delays an item while there is no thread to be had, and has `body` do what gets the timers one.
private func delayInVain(_ body: (WorkQueue, Held) throws -> Void) throws {
    let (queue, _, held, _) = startHeld()
    let flags = Flags()
    let item = DelayedWork(name: "delayed") { flags.first.store(true, ordering: .releasing) }
    try withoutThreads {
        #expect(WorkQueue(name: "other").enqueue(item, after: .milliseconds(1)) == .queued)
        #expect(queue.timers.isShort)
    }
    try body(queue, held)
    waitUntil { flags.first.load(ordering: .acquiring) }
    #expect(!queue.timers.isShort)
    held.release()
    try queue.close()
}

private func armThroughShortage() throws {
    let queue = WorkQueue(name: "queue")
    let flags = Flags()
    let item = DelayedWork(name: "item") { flags.hasStarted.store(true, ordering: .releasing) }
    let sleeper = Sleeper()
    let armer = try WorldThread.spawn {
        while !flags.first.load(ordering: .acquiring) { sched_yield() }
        sleeper.announce()
        #expect(queue.enqueue(item, after: .milliseconds(1)) == .queued)
    }
    try withoutThreads {
        flags.first.store(true, ordering: .releasing)
        sleeper.waitUntilAsleep()
    }
    armer.join()
    waitUntil { flags.hasStarted.load(ordering: .acquiring) }
    try queue.close()
}

/// Has `body` run while there is no thread to be had, in a process of its own. An item of the queue
/// waits until `first` is raised, and then for `second`.
private func waitThroughShortage(
    _ body: (_ queue: WorkQueue, _ first: borrowing Atomic<Bool>, _ second: WaitPoint.Shared) ->
        Void,
    then: (WorkQueue) -> Void = { _ in }
) throws {
    let queue = WorkQueue(name: "queue")
    let flags = Flags()
    _ = queue.enqueue {
        flags.hasStarted.store(true, ordering: .releasing)
        // The pool is not told of this wait.
        while !flags.first.load(ordering: .acquiring) { sched_yield() }
        flags.second.wait(for: 1)
    }
    waitUntil { flags.hasStarted.load(ordering: .acquiring) }

    try withoutThreads { body(queue, flags.first, flags.second) }
    then(queue)
    try queue.flush(until: WorldClock.now() + .seconds(60))
}

private final class Flags: Sendable {
    let hasStarted = Atomic(false)
    let first = Atomic(false)
    let second = WaitPoint.Shared()
}
