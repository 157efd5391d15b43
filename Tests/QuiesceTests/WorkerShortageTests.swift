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
                queue.enqueue { second.advance(to: 1) }
                first.store(true, ordering: .releasing)
                Clock.sleep(for: .milliseconds(50))
            }
        }
    }

    @Test func `what is enqueued later has a worker started for what was enqueued in vain`() async {
        await #expect(processExitsWith: .success) {
            try waitThroughShortage { queue, first, second in
                first.store(true, ordering: .releasing)
                // It blocks. Enqueued now, what it waits for has no worker.
                waitUntil { queue.pool.census.running == 0 }
                queue.enqueue { second.advance(to: 1) }
                #expect(queue.pool.isShort)
            } then: { queue in
                queue.enqueue {}
                #expect(!queue.pool.isShort)
            }
        }
    }

    @Test func `a delayed item fires once there is a thread for the timers`() async {
        await #expect(processExitsWith: .success) { try armThroughShortage() }
    }
}

private func armThroughShortage() throws {
    let queue = WorkQueue(name: "queue")
    let flags = Flags()
    let item = DelayedWork(name: "item") { flags.hasStarted.store(true, ordering: .releasing) }
    let sleeper = Sleeper()
    let armer = try Thread.spawn {
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
    try queue.destroy()
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
    queue.enqueue {
        flags.hasStarted.store(true, ordering: .releasing)
        // The pool is not told of this wait.
        while !flags.first.load(ordering: .acquiring) { sched_yield() }
        flags.second.wait(for: 1)
    }
    waitUntil { flags.hasStarted.load(ordering: .acquiring) }

    try withoutThreads { body(queue, flags.first, flags.second) }
    then(queue)
    try queue.flush(until: Clock.now() + .seconds(60))
}

private final class Flags: Sendable {
    let hasStarted = Atomic(false)
    let first = Atomic(false)
    let second = WaitPoint.Shared()
}
