// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// What the work queue relies on: without it, an exploration fails.
@Suite struct WorkMutantTests {
    /// An item is enqueued again while, or after, it runs behind another: by its server alone,
    /// which looks at the intake no more.
    private static let again: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let item = Work(name: "item") {}
        _ = queue.enqueue(name: "first") {}
        _ = queue.enqueue(item)
        _ = queue.enqueue(item)
    }

    private static let cancelAndEnqueue: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let item = Work(name: "item") {}
        _ = queue.enqueue(item)
        world.thread("canceller") { item.cancel() }
        _ = queue.enqueue(item)
    }

    private static let disabledBefore: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let item = Work(name: "item") {}
        item.disable()
        expect(queue.enqueue(item) == .disabled)
    }

    /// Only the one who undoes the last disable may say that the item is enabled.
    static let enabledTwice: Program = { world in
        let item = Work(name: "item") {}
        item.disable()
        item.disable()
        let enabled = Runs("enabled")
        world.thread("other") { if item.enable() { enabled.count() } }
        if item.enable() { enabled.count() }
        world.afterwards {
            expect(enabled.total == 1 && !item.isDisabled, "enabled twice, or never")
        }
    }

    /// Nobody finds a disabled item pending, or has it run.
    static let disabledAndEnqueued: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = Runs()
        let item = Work(name: "item", on: queue) { runs.count() }
        world.thread("enqueuer") { _ = queue.enqueue(item) }
        item.disable()
        guard item.activity == [] else {
            return expect(!item.isPending, "what is disabled is pending")
        }
        let total = runs.total
        world.afterwards { expect(runs.total == total, "an item ran that was disabled") }
    }

    /// Two queues have different locks: what decides between them is the item's word. The item was
    /// on one of them before.
    private static let onTwoQueues: Program = { world in
        let queues = [WorkQueue(name: "q1", .ordered), WorkQueue(name: "q2", .ordered)]
        let (runs, queued) = (Runs(), Runs("queued"))
        let item = Work(name: "item", on: queues[0]) { runs.count() }
        for queue in queues {
            world.thread(queue.name) { if queue.enqueue(item) == .queued { queued.count() } }
        }
        world.afterwards { expect(runs.total == queued.total, "an item ran too often or not") }
    }

    private static let flushedByAnother: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let item = Work(name: "item") {}
        world.thread("other") { sure { try item.flush() } }
        _ = queue.enqueue(item)
    }

    /// As `WorkQueueTests.destroy`, with an item: enqueueing one takes several steps.
    private static let destroy: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let isGone = Unsynchronized(false)
        let item = Work(name: "item") {
            expect(!isGone.load(), "an item ran after its queue had ended")
        }
        world.thread("another path") { _ = queue.enqueue(item) }
        sure { try queue.close() }
        isGone.store(true)
    }

    private static let cancelled: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let item = Work(name: "item") {}
        _ = queue.enqueue(item)
        if item.cancel() { expect(queue.enqueue(item) == .queued, "what was cancelled is pending") }
    }

    private static let idle: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        for _ in 0..<2 {
            _ = queue.enqueue(name: "item") {}
            sure { try queue.flush() }
        }
    }

    private static let twoTimers: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        for name in ["one", "other"] {
            world.thread(name) { _ = queue.enqueue(DelayedWork(name: name) {}, after: .seconds(1)) }
        }
    }

    static let mutants: [Mutant] = [
        // Becoming pending.
        Mutant(
            onTwoQueues, "WorkItem.swift", "let (isMine, now) = state.compareExchange(",
            .unconditional),
        Mutant(
            disabledBefore, "WorkItem.swift", "let (isCounted, _) = state.compareExchange(",
            .skipped),
        Mutant(again, "WorkItem.swift", "let (isMine, now) = state.compareExchange(", .relaxed),
        Mutant(flushedByAnother, "WorkItem.swift", "homes.withLock { homes in", .skipped),
        Mutant(
            destroy, "WorkQueue.swift", "let answer: Enqueued = intake.withLock { intake in",
            .skipped),
        // Running.
        Mutant(
            WorkQueueTests.requeue, "WorkQueue+Serving.swift",
            "$0.state.bitwiseAnd(ItemState.idleMask", .skipped),
        Mutant(
            WorkQueueTests.requeueByAnother, "WorkQueue+Serving.swift",
            "$0.state.bitwiseAnd(ItemState.idleMask",
            .skipped),
        Mutant(
            again, "WorkQueue+Serving.swift", "$0.state.bitwiseAnd(ItemState.idleMask", .relaxed),
        Mutant(
            cancelAndEnqueue, "WorkQueue+Serving.swift", "intake.withLock { intake in", .skipped),
        Mutant(
            WorkQueueTests.twoItems, "Worker.swift", "point.word.store(1, ordering: .releasing)",
            .skipped),
        Mutant(WorkQueueTests.twoItems, "Worker.swift", "point.wake(1)", .skipped),
        Mutant(idle, "Worker.swift", "point.wake(1)", .skipped),
        Mutant(
            idle, "WorkerPool.swift", "worker.point.word.store(0, ordering: .relaxed)", .skipped),
        // Cancelling.
        Mutant(cancelled, "WorkItem.swift", "state.exchange(idle", .skipped),
        Mutant(cancelAndEnqueue, "WorkItem.swift", "state.exchange(idle", .relaxed),
        Mutant(
            enabledTwice, "WorkItem.swift", "let (isUndone, now) = state.compareExchange(",
            .unconditional),
        Mutant(
            disabledAndEnqueued, "WorkItem.swift", "let (isCounted, _) = state.compareExchange(",
            .unconditional),
        Mutant(
            WorkQueueTests.cancel, "WorkQueue+Serving.swift",
            "let state = item.state.load(ordering: .relaxed)",
            .sees(0)),
        // Waiting.
        Mutant(
            WorkQueueTests.flushItem, "WorkQueue+Serving.swift",
            "let state = item.state.load(ordering: .relaxed)",
            .sees(0)),
        Mutant(WorkQueueTests.flushItem, "Waiter.swift", "point.wake(1)", .skipped),
        Mutant(WorkQueueTests.flushItem, "Waiter.swift", "point.word.compareExchange", .skipped),
        Mutant(WorkQueueTests.flushItem, "Waiter.swift", "point.word.compareExchange", .relaxed),
        Mutant(WorkQueueTests.flushAmongArrivals, "Waiter.swift", "point.wake(1)", .skipped),
        Mutant(WorkQueueTests.destroy, "Waiter.swift", "point.wake(1)", .skipped),
        Mutant(WorkQueueTests.drain, "Waiter.swift", "point.wake(1)", .skipped),
        // Timers.
        Mutant(DelayedWorkTests.again, "WorkTimers.swift", "point.wake(1)", .skipped),
        Mutant(
            DelayedWorkTests.again, "WorkTimers.swift", "point.word.add(1, ordering: .releasing)",
            .skipped),
        Mutant(
            DelayedWorkTests.cancel, "WorkQueue+Serving.swift",
            "item.state.load(ordering: .acquiring)", .sees(0)),
        Mutant(DelayedWorkTests.directly, "WorkItem.swift", "state.exchange(idle", .relaxed),
        Mutant(DelayedWorkTests.cancel, "WorkItem.swift", "state.exchange(idle", .skipped),
        Mutant(
            DelayedWorkTests.flush, "WorkTimers.swift",
            "isArmed = ItemState.isArmed(item.state.load(ordering: .relaxed))",
            .sees(0)),
        Mutant(twoTimers, "WorkTimers.swift", "state.withLock { state in", .skipped),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }

    /// What a mutant fails by is its mutation.
    static let programs = [
        WorkQueueTests.Case(
            testDescription: "an item is enqueued while it runs behind another", program: again),
        WorkQueueTests.Case(
            testDescription: "an item is cancelled and enqueued", program: cancelAndEnqueue),
        WorkQueueTests.Case(
            testDescription: "an item is disabled at first", program: disabledBefore),
        WorkQueueTests.Case(
            testDescription: "an item is flushed while it is enqueued", program: flushedByAnother),
        WorkQueueTests.Case(
            testDescription: "a queue is destroyed against an item", program: destroy),
        WorkQueueTests.Case(
            testDescription: "an item is enqueued after it was cancelled", program: cancelled),
        WorkQueueTests.Case(testDescription: "an item is enabled by two", program: enabledTwice),
        WorkQueueTests.Case(
            testDescription: "an item is disabled and enqueued", program: disabledAndEnqueued),
        WorkQueueTests.Case(testDescription: "a worker becomes idle", program: idle),
        WorkQueueTests.Case(testDescription: "two arm timers", program: twoTimers),
    ]

    @Test(arguments: programs) func `unchanged, every interleaving ends well`(
        _ each: WorkQueueTests.Case
    ) throws {
        try verify(each.testDescription) { each.program($0) }
    }

    /// It has too many interleavings to see them all.
    @Test func `unchanged, an item is enqueued on two queues`() throws {
        try verify("two queues", preemptions: 2) { Self.onTwoQueues($0) }
    }
}
