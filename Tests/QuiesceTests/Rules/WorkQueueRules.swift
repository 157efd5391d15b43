// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import TestSupport
import Testing

@testable import Quiesce

// Draining and destroying a queue, its limit, and the pool's threads.
extension WorkRules {
    @Test func drain_chained_allowed() throws {
        try verify("a chain is drained") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let journal = Journal()
            _ = queue.enqueue {
                expect(
                    queue.enqueue {
                        expect(queue.enqueue { journal.note("W3") } == .queued)
                        journal.note("W2")
                    } == .queued)
                journal.note("W1")
            }
            sure { try queue.drain() }
            expect(journal.all == ["W1", "W2", "W3"])
        }
    }

    /// Linux says that it was queued, warns, and leaves it marked as pending for ever. Here the
    /// answer says it.
    @Test func drain_foreign_queueing_rejected() throws {
        try expectRefusal("drained", opensAgain: true) { try $0.drain() }
    }

    /// As above.
    @Test func queue_after_destroy_started() throws {
        try expectRefusal("destroyed", opensAgain: false) { try $0.close() }
    }

    private func expectRefusal(
        _ name: String, opensAgain: Bool, _ end: @escaping @Sendable (WorkQueue) throws -> Void
    ) throws {
        let answers = Seen<Enqueued>()
        try verify("enqueued from outside while the queue is \(name)") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (held, runs) = (Held(), Runs())
            let item = Work(name: "X") { runs.run() }
            _ = queue.enqueue { held.run() }
            world.thread("T2") { sure { try end(queue) } }
            let answer = queue.enqueue(item)
            answers.note(answer)
            if answer == .draining { expect(!item.isPending) }
            held.release()
            world.afterwards {
                expect(
                    runs.total == (answer == .queued ? 1 : 0),
                    "an item ran that was refused, or was lost")
                expect(queue.enqueue(item) == (opensAgain ? .queued : .draining))
            }
        }
        #expect(answers.all == [.queued, .draining])
    }

    /// The chain ends after a while, so that the test does.
    @Test func drain_warns_on_long_chain() throws {
        let queue = WorkQueue(name: "queue", .ordered)
        let (item, runs) = (Later<Work>(), Runs())
        item.set(
            Work(name: "W") {
                runs.count()
                // One round of the drain for each run.
                waitUntil { queue.isAwaited }
                if runs.total < 1_100 { _ = queue.enqueue(item.value) }
            })
        _ = queue.enqueue(item.value)
        let misuses = try Misuse.collecting { try queue.drain() }
        #expect(runs.total == 1_100)
        // After 10 rounds, then each hundred up to 1000.
        #expect(misuses.map(\.kind) == Array(repeating: .longDrain, count: 11))
    }

    @Test func destroy_runs_pending_first() throws {
        let queue = WorkQueue(name: "queue")
        let runs = Runs()
        for _ in 0..<5 { _ = queue.enqueue { runs.run() } }
        try queue.close()
        #expect(runs.total == 5 && runs.current == 0)
    }

    @Test func destroy_from_own_item() throws {
        let queue = WorkQueue(name: "the queue")
        let caught = Mutex<QuiesceError?>(nil)
        _ = queue.enqueue(name: "the item") {
            do throws(QuiesceError) { try queue.close() } catch { caught.withLock { $0 = error } }
        }
        try queue.flush()
        let error = try #require(caught.withLock { $0 })
        guard case .inside(let name, let item) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(item == "the item" && name == "the queue")
        // Nothing was changed.
        #expect(queue.enqueue {} == .queued)
        try queue.close()
    }

    // MARK: How many at a time

    @Test func ordered_fifo_one_at_a_time() throws {
        let queue = WorkQueue(name: "queue", .ordered)
        let (runs, journal) = (Runs(), Journal())
        let names = (0..<10).map { "w\($0)" }
        for name in names { _ = queue.enqueue(name: name) { runs.run { journal.note(name) } } }
        try queue.close()
        #expect(journal.all == names && runs.most == 1)
    }

    @Test func ordered_stays_ordered_when_max_active_set() throws {
        try verify("an ordered queue is told otherwise") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let runs = Runs()
            let misuses = Misuse.collecting { queue.setLimit(8) }
            expect(misuses.map(\.kind) == [.limitOfOrdered])
            expect(queue.limit == 1)
            for _ in 0..<2 { _ = queue.enqueue { runs.run() } }
            world.afterwards { expect(runs.total == 2 && runs.most == 1) }
        }
    }

    @Test func max_active_bound() throws {
        try verifyInTime("two at a time", executions: 300) { world in
            let queue = WorkQueue(name: "queue", .concurrent(limit: 2))
            let (runs, timeline) = (Runs(), Timeline())
            for name in ["w0", "w1", "w2", "w3", "w4", "w5"] {
                _ = queue.enqueue {
                    runs.run {
                        timeline.note(name)
                        WorldClock.sleep(for: .milliseconds(10))
                    }
                }
            }
            world.afterwards {
                expect(runs.most == 2)
                // Two that start at one time may say so in either order.
                let starts = timeline.all.map(\.description).sorted()
                expect(starts == ["0 w0", "0 w1", "10 w2", "10 w3", "20 w4", "20 w5"], "\(starts)")
            }
        }
    }

    @Test func max_active_increase_activates_waiting() throws {
        try verify("the limit is raised") { world in
            let queue = WorkQueue(name: "queue", .concurrent(limit: 1))
            let second = Held()
            _ = queue.enqueue { second.waitUntilStarted() }
            _ = queue.enqueue { second.run() }
            second.release()
            queue.setLimit(2)
        }
        let queue = WorkQueue(name: "queue", .concurrent(limit: 1))
        let (runs, held) = (Runs(), (0..<3).map { _ in Held() })
        for each in held { _ = queue.enqueue { runs.run { each.run() } } }
        held[0].waitUntilStarted()
        queue.setLimit(3)
        for each in held { each.waitUntilStarted() }
        #expect(runs.current == 3)
        for each in held { each.release() }
        try queue.close()
    }

    /// Linux takes 0 for the default; here the default is what is not said, and 0 traps, as nothing
    /// would ever run.
    @Test func max_active_default_and_limit() {
        #expect(WorkQueue(name: "queue").limit == 256)
        let queue = WorkQueue(name: "queue", .concurrent(limit: 100_000))
        #expect(queue.limit == 512)
        queue.setLimit(100_000)
        #expect(queue.limit == 512)
    }

    // MARK: The pool's threads

    /// Linux keeps two idle threads, and one for every four that are busy. Here those that the
    /// processors can use stay, and the others end.
    @Test func idle_worker_timeout() throws {
        try verifyInTime("a burst, then quiet", executions: 200) { world in
            let queue = WorkQueue(name: "queue")
            let held = (0..<10).map { _ in Held() }
            for each in held { _ = queue.enqueue { each.run() } }
            for each in held { each.waitUntilStarted() }
            expect(queue.pool.census.workers >= 10)
            for each in held { each.release() }
            sure { try queue.flush() }
            WorldClock.sleep(for: .seconds(299))
            expect(queue.pool.census.workers >= 10, "a thread ended early")
            WorldClock.sleep(for: .seconds(2))
            let census = queue.pool.census
            expect(census.workers == 2 && census.idle == 2, "\(census)")
        }
    }
}
