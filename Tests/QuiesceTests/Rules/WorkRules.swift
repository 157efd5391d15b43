// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// What a work queue does with its items; here: enqueueing, enqueueing anew, the end of an item's
/// life, and flushing.
///
/// Not here:
/// - `change_function_then_queue_while_running`: an item has one function all its life, so that
///   what is promised of an item holds always.
/// - `flush_work_on_disabled_func`: there is no item without a function.
/// - `rcu_work_after_grace_period`: it comes with grace periods.
/// - `mem_reclaim_rescuer`, `mem_reclaim_flushing_non_reclaim_warns`: memory is not reclaimed by
///   work. Where the system has no thread to give, those that are there do what is pending, later.
@Suite("workqueue.semantics") struct WorkRules {
    @Test func queue_twice_while_pending() throws {
        try verify("enqueued twice while pending") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (blocker, runs) = (Held(), Runs())
            let item = Work(name: "W") { runs.run() }
            _ = queue.enqueue { blocker.run() }
            expect(queue.enqueue(item) == .queued)
            expect(queue.enqueue(item) == .alreadyPending)
            blocker.release()
            sure { try queue.flush() }
            expect(runs.total == 1)
        }
    }

    @Test func requeue_while_running_same_queue() throws {
        try verify("enqueued while it runs") { world in
            let queue = WorkQueue(name: "queue", .concurrent(limit: 2))
            let (held, runs) = (Held(), Runs())
            let item = Work(name: "W") { runs.run { held.run() } }
            expect(queue.enqueue(item) == .queued)
            held.waitUntilStarted()
            expect(queue.enqueue(item) == .queued)
            held.release()
            world.afterwards { expect(runs.total == 2 && runs.most == 1) }
        }
    }

    @Test func self_requeue() throws {
        try verify("enqueues itself three times") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (runs, item) = (Runs(), Later<Work>())
            item.set(
                Work(name: "W") {
                    runs.run { if runs.total <= 3 { expect(queue.enqueue(item.value) == .queued) } }
                })
            _ = queue.enqueue(item.value)
            sure { try queue.drain() }
            expect(runs.total == 4 && runs.most == 1)
        }
    }

    @Test func requeue_on_other_queue_may_overlap() throws {
        try verify("runs on another queue as well") { world in
            let queues = [WorkQueue(name: "Q1", .ordered), WorkQueue(name: "Q2", .ordered)]
            let (item, runs, second) = (Later<Work>(), Runs(), WaitPoint.Shared())
            item.set(
                Work(name: "W") {
                    runs.run {
                        if runs.total > 1 { return second.advance(to: 1) }
                        expect(queues[1].enqueue(item.value) == .queued)
                        // The first run goes on until the second has started.
                        second.wait(for: 1)
                    }
                })
            _ = queues[0].enqueue(item.value)
            world.afterwards { expect(runs.total == 2 && runs.most == 2) }
        }
    }

    @Test func requeue_on_ordered_queue_never_overlaps() throws {
        try verify("several enqueue it on an ordered queue") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (held, runs, queued) = (Held(), Runs(), Runs("queued"))
            let item = Work(name: "W") { runs.run { held.run() } }
            _ = queue.enqueue(item)
            held.waitUntilStarted()
            for name in ["T1", "T2"] {
                world.thread(name) { if queue.enqueue(item) == .queued { queued.count() } }
            }
            held.release()
            world.afterwards {
                expect(runs.total == queued.total + 1, "an item was lost")
                expect(runs.most == 1)
            }
        }
    }

    // MARK: The end of an item's life

    @Test func self_free() throws {
        try verify("frees itself") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (log, others) = (WorkQueueTests.Freed(), Runs("others"))
            let owner = Reference(WorkQueueTests.Owner(log))
            let item = owner.withObject { $0.work }
            let answer = queue.enqueue(item, owner).answer
            expect(answer == .queued)
            _ = queue.enqueue { others.count() }
            world.afterwards { expect(log.isFreedInside && others.total == 1) }
        }
    }

    /// Linux takes the second item for the first, since it compares addresses, and has it wait.
    /// Here an item at the address of one that is gone is a new one, and runs at once.
    @Test func self_free_then_address_reuse() throws {
        let queue = WorkQueue(name: "queue")
        let (first, second) = (Held(), WaitPoint.Shared())
        // What the allocator has lying about is used up, so that it gives out next what is freed
        // next.
        let hoard = (0..<1_000).map { _ in Work {} }
        var address: ObjectIdentifier?
        do {
            let item = Work(name: "first") { first.run() }
            address = ObjectIdentifier(item)
            _ = queue.enqueue(item)
            // The queue has let go of it then, so that this thread is the one that frees it.
            withExtendedLifetime(item) { first.waitUntilStarted() }
        }
        var others: [Work] = []
        while others.count < 10_000, others.last.map(ObjectIdentifier.init) != address {
            others.append(Work(name: "second") { second.advance(to: 1) })
        }
        let last = try #require(others.last)
        #expect(
            ObjectIdentifier(last) == address && hoard.count == 1_000, "no address was used again")
        #expect(last.activity == [])
        #expect(queue.enqueue(last) == .queued)
        // While the first runs.
        second.wait(for: 1)
        first.release()
        try queue.close()
    }

    @Test func completion_inside_work_then_free_by_waiter() throws {
        try verify("a waiter frees what completed") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (item, completed, freed) = (
                WorkQueueTests.Watched(), WaitPoint.Shared(), WaitPoint.Shared()
            )
            item.enqueue(on: queue) {
                completed.advance(to: 1)
                freed.wait(for: 1)
            }
            completed.wait(for: 1)
            // While the function is still running.
            expect(item.isGone, "the queue kept an item whose function had started")
            freed.advance(to: 1)
        }
    }

    /// A gate's scope cannot be left behind by a function that returns, so the test says by hand
    /// that the thread is inside one. Locks that are held are for the validator to see.
    @Test func work_leaks_lock_or_rcu() throws {
        var options = ExplorationOptions()
        options.minimizes = false
        let report = try Exploration("returns inside", options: options) { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (key, state) = (UInt(0x1000), AtomicBox())
            _ = queue.enqueue(name: "culprit") {
                _ = Presence.enter(
                    key, unless: state.word, has: 1, section: WaitClass(.gate), "gate")
            }
        }.run()
        #expect(report.verdicts[.misuse] == 1)
        let sentence = try #require(report.counterexample?.verdict.sentence)
        #expect(
            sentence.contains("returned inside a gate") && sentence.contains("culprit, on queue"),
            "\(sentence)")
    }

    private final class AtomicBox: Sendable {
        let word = Atomic<UInt64>(0)
    }

    // MARK: Flushing

    @Test func flush_work_idle() throws {
        #expect(try !Work {}.flush())
    }

    @Test func flush_work_pending() throws {
        let answers = Seen<Bool>()
        try verify("flushed while pending") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (blocker, runs) = (Held(), Runs())
            let item = Work(name: "W") { runs.run() }
            _ = queue.enqueue { blocker.run() }
            _ = queue.enqueue(item)
            world.thread("releaser") { blocker.release() }
            if let answer = sure({ try item.flush() }) { answers.note(answer) }
            expect(runs.total == 1 && runs.current == 0)
        }
        // It may have run before.
        #expect(answers.all == [true, false])
    }

    @Test func flush_work_running() throws {
        let answers = Seen<Bool>()
        try verify("flushed while it runs") { world in
            let (_, item, held, runs) = startHeld()
            world.thread("releaser") { held.release() }
            if let answer = sure({ try item.flush() }) { answers.note(answer) }
            expect(runs.total == 1 && runs.current == 0)
        }
        // It may have returned before.
        #expect(answers.all == [true, false])
    }

    @Test func flush_work_only_last_instance() throws {
        let queue = WorkQueue(name: "queue")
        let (item, second, runs) = (Later<Work>(), Held(), Runs())
        item.set(
            Work(name: "W") {
                runs.run {
                    if runs.total > 1 { return second.run() }
                    waitUntil { queue.isAwaited }
                    _ = queue.enqueue(item.value)
                }
            })
        _ = queue.enqueue(item.value)
        #expect(try item.value.flush())
        // The second cannot have ended: it is held.
        #expect(item.value.activity != [])
        second.release()
        try queue.close()
        #expect(runs.total == 2)
    }

    @Test func flush_workqueue_not_livelocked() throws {
        let queue = WorkQueue(name: "queue")
        let (early, later) = (Runs("early"), Held())
        let isOver = Atomic(false)
        _ = queue.enqueue {
            early.run {
                waitUntil { queue.isAwaited }
                _ = queue.enqueue { later.run() }
            }
        }
        let enqueuer = try WorldThread.spawn {
            while !isOver.load(ordering: .relaxed) { _ = queue.enqueue {} }
        }
        try queue.flush()
        #expect(early.total == 1 && early.current == 0)
        isOver.store(true, ordering: .relaxed)
        enqueuer.join()
        // It was enqueued after the flush had begun, and has been held all the time.
        later.release()
        try queue.close()
    }

    /// Linux tells fifteen flushes apart at a time, and has the others wait for one of those.
    @Test func flush_workqueue_color_overflow() throws {
        let queue = WorkQueue(name: "queue")
        let missed = Runs("missed")
        try together(20) { _ in
            let runs = Runs()
            for round in 1...50 {
                _ = queue.enqueue { runs.count() }
                do { try queue.flush() } catch { missed.count() }
                if runs.total != round { missed.count() }
            }
        }
        #expect(missed.total == 0, "a flush returned before what was enqueued before it")
    }
}
