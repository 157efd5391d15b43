// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import TestSupport
import Testing

@testable import Quiesce

// Items with a timer. Times are virtual.
extension WorkRules {
    /// Does `body` with a queue and an item that notes when it runs, and expects the item to have
    /// run at `times`.
    private func expectRuns(
        at times: [Int64], _ name: String, location: SourceLocation = #_sourceLocation,
        _ body: @escaping (WorkQueue, DelayedWork) -> Void
    ) throws {
        try verifyInTime(name, location: location) { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let timeline = Timeline()
            let item = DelayedWork(name: "W") { timeline.note("runs") }
            body(queue, item)
            WorldClock.sleep(for: .milliseconds(200))
            let found = timeline.all.map(\.time)
            expect(found == times, "it ran at \(found)")
        }
    }

    @Test func delayed_zero_runs_now() throws {
        try verify("no delay") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (blocker, runs) = (Held(), Runs())
            let item = DelayedWork(name: "W") { runs.run() }
            _ = queue.enqueue { blocker.run() }
            expect(queue.enqueue(item, after: .zero) == .queued)
            expect(!ItemState.isArmed(item.state.load(ordering: .relaxed)))
            blocker.release()
            world.afterwards { expect(runs.total == 1) }
        }
    }

    @Test func `a timer that is rescheduled is pending all the time`() throws {
        try verifyInTime("rescheduled, and flushed", abandons: true) { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let item = DelayedWork(name: "W") {}
            _ = queue.enqueue(item, after: .seconds(60))
            world.thread("flusher") {
                expect(sure { try item.flush() } == true, "it was not pending")
            }
            _ = queue.reschedule(item, after: .seconds(120))
        }
    }

    @Test
    func `a queue that is being destroyed lets an item be as it is, rather than reschedule it`()
        throws
    {
        try verifyInTime(
            "rescheduled by an item while the queue is destroyed", executions: 10_000,
            abandons: true
        ) {
            world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (held, runs, answers) = (Held(), Runs(), Seen<Enqueued>())
            let item = DelayedWork(name: "W") { runs.run() }
            _ = queue.enqueue {
                held.run()
                answers.note(queue.reschedule(item, after: .seconds(1)))
                expect(item.isPending, "it is not pending any more")
            }
            held.waitUntilStarted()
            expect(queue.enqueue(item, after: .seconds(60)) == .queued)
            world.thread("destroyer") { sure { try queue.close() } }
            spin { queue.intake.withLock { !$0.isEnding } }
            held.release()
            world.afterwards { expect(answers.all == [.draining] && runs.total == 1) }
        }
    }

    @Test func `a flush that throws leaves the timer as it is`() throws {
        try expectRuns(at: [100], "flushed by an item of its ordered queue") { queue, item in
            _ = queue.enqueue(item, after: .milliseconds(100))
            _ = queue.enqueue(name: "other") {
                do throws(QuiesceError) {
                    try item.flush()
                    expect(false, "it did not throw")
                } catch {
                    expect(
                        error.description
                            == "other, which runs on queue, would wait for itself to end")
                }
            }
        }
    }

    @Test func delayed_twice() throws {
        try expectRuns(at: [50], "delayed twice") { queue, item in
            expect(queue.enqueue(item, after: .milliseconds(50)) == .queued)
            expect(queue.enqueue(item, after: .milliseconds(10)) == .alreadyPending)
        }
    }

    @Test func mod_delayed_idle() throws {
        try expectRuns(at: [10], "rescheduled when idle") { queue, item in
            expect(queue.reschedule(item, after: .milliseconds(10)) == .queued)
        }
    }

    @Test func mod_delayed_pending() throws {
        try expectRuns(at: [10], "rescheduled while pending") { queue, item in
            expect(queue.enqueue(item, after: .milliseconds(50)) == .queued)
            expect(queue.reschedule(item, after: .milliseconds(10)) == .alreadyPending)
        }
    }

    @Test func mod_delayed_zero_always_immediate() throws {
        try expectRuns(at: [0], "rescheduled for now") { queue, item in
            expect(queue.enqueue(item, after: .milliseconds(50)) == .queued)
            expect(queue.reschedule(item, after: .zero) == .alreadyPending)
        }
    }

    @Test func mod_delayed_while_running() throws {
        try verifyInTime("rescheduled while it runs") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (held, timeline) = (Held(), Timeline())
            let item = DelayedWork(name: "W") {
                timeline.note("runs")
                held.run()
            }
            _ = queue.enqueue(item)
            held.waitUntilStarted()
            expect(queue.reschedule(item, after: .milliseconds(5)) == .queued)
            held.release()
            WorldClock.sleep(for: .milliseconds(200))
            expect(timeline.all.map(\.time) == [0, 5], "\(timeline.all)")
        }
    }

    @Test func cancel_delayed_in_timer() throws {
        try expectRuns(at: [], "cancelled while its timer runs") { queue, item in
            expect(queue.enqueue(item, after: .milliseconds(50)) == .queued)
            expect(item.cancel())
            expect(item.activity == [])
        }
    }

    @Test func flush_delayed_runs_now() throws {
        try expectRuns(at: [0], "flushed while its timer runs") { queue, item in
            expect(queue.enqueue(item, after: .milliseconds(5_000)) == .queued)
            expect(sure { try item.flush() } == true)
            expect(item.activity == [])
        }
    }

    @Test func flush_delayed_idle() throws {
        #expect(try !DelayedWork {}.flush())
    }

    @Test func cancel_delayed_sync_rearm() throws {
        try verifyInTime("rearms itself", executions: 3_000) { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (item, runs) = (Later<DelayedWork>(), Runs())
            item.set(
                DelayedWork(name: "W") {
                    runs.run { _ = queue.enqueue(item.value, after: .milliseconds(10)) }
                })
            _ = queue.enqueue(item.value, after: .milliseconds(10))
            // When a timer fires, so that it is also cancelled while its function runs.
            WorldClock.sleep(for: .milliseconds(20))
            sure { try item.value.cancelAndWait() }
            let total = runs.total
            expect(runs.current == 0 && item.value.activity == [])
            WorldClock.sleep(for: .milliseconds(50))
            expect(
                runs.total == total && (1...2).contains(total), "it ran again, or \(total) times")
        }
    }

    @Test func disable_delayed_cancels_timer() throws {
        try expectRuns(at: [], "disabled while its timer runs") { queue, item in
            expect(queue.enqueue(item, after: .milliseconds(50)) == .queued)
            expect(item.disable())
            expect(queue.enqueue(item, after: .milliseconds(1)) == .disabled)
        }
    }
}
