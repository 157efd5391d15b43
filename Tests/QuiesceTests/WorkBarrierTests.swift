// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// A function that runs alone.
@Suite struct WorkBarrierTests {
    /// One before the barrier and one behind it. One that runs beside it is a data race as well.
    static let alone: Program = { world in
        let queue = WorkQueue(name: "queue", .concurrent(limit: 2))
        let before = Atomic(0)
        let barred = Atomic(false)
        let behind = Atomic(0)
        let plain = Unsynchronized(0)
        let answers = [
            queue.enqueue { before.add(1, ordering: .relaxed) },
            queue.enqueueBarrier {
                expect(
                    before.load(ordering: .relaxed) == 1, "it began before what stands before it")
                expect(behind.load(ordering: .relaxed) == 0, "it began after what stands behind it")
                plain.store(1)
                barred.store(true, ordering: .relaxed)
            },
            queue.enqueue {
                expect(barred.load(ordering: .relaxed), "it began before the barrier had ended")
                expect(plain.load() == 1)
                behind.add(1, ordering: .relaxed)
            },
        ]
        expect(answers.allSatisfy { $0 == .queued })
        sure { try queue.close() }
        expect(behind.load(ordering: .relaxed) == 1, "what stands behind it did not run")
    }

    @Test func `a barrier runs alone`() throws {
        try verify("barrier", granularity: .coarse, Self.alone)
    }

    @Test func `a barrier runs alone, step by step`() throws {
        try verify("barrier, finely", preemptions: 1, Self.alone)
    }

    @Test func `barriers follow each other, and one is let in by an item that blocks`() throws {
        try verify("two barriers", granularity: .coarse) { world in
            let queue = WorkQueue(name: "queue", .concurrent(limit: 2))
            let order = Mutex<[Int]>([])
            let lock = Mutex(0)
            world.thread("holder") { lock.withLock { $0 += 1 } }
            _ = queue.enqueue { lock.withLock { _ in order.withLock { $0.append(0) } } }
            _ = queue.enqueueBarrier { order.withLock { $0.append(1) } }
            _ = queue.enqueueBarrier(name: "second") { order.withLock { $0.append(2) } }
            sure { try queue.flush() }
            expect(order.withLock { $0 } == [0, 1, 2], "\(order.withLock { $0 })")
        }
    }

    /// The item that follows its own run was enqueued before the barrier.
    @Test func `an item that is enqueued again while it runs comes before a barrier`() throws {
        try verify("again, then barrier", granularity: .coarse) { world in
            let queue = WorkQueue(name: "queue", .concurrent(limit: 2))
            let runs = Atomic(0)
            let item = Work(name: "item") { runs.add(1, ordering: .relaxed) }
            var queued = queue.enqueue(item) == .queued ? 1 : 0
            if queue.enqueue(item) == .queued { queued += 1 }
            let expected = queued
            _ = queue.enqueueBarrier {
                expect(runs.load(ordering: .relaxed) == expected, "it ran beside the item")
            }
            sure { try queue.close() }
        }
    }

    @Test func `what is cancelled before a barrier does not hold it up`() throws {
        try verify("cancelled, then barrier", granularity: .coarse) { world in
            let queue = WorkQueue(name: "queue", .concurrent(limit: 2))
            let ran = Atomic(false)
            let item = Work(name: "item") {}
            _ = queue.enqueue(item)
            _ = queue.enqueueBarrier { ran.store(true, ordering: .relaxed) }
            world.thread("canceller") { item.cancel() }
            sure { try queue.flush() }
            expect(ran.load(ordering: .relaxed), "the barrier did not run")
        }
    }

    @Test func `a barrier of a queue that is closed is refused`() throws {
        let queue = WorkQueue(name: "queue")
        try queue.close()
        let answer = queue.enqueueBarrier { expect(false, "it ran") }
        #expect(answer == .draining)
    }

    /// The same functions, none of which is a barrier.
    @Test func `functions that are no barriers run beside each other`() throws {
        let report = try Exploration("no barrier") { world in
            let queue = WorkQueue(name: "queue", .concurrent(limit: 2))
            let plain = Unsynchronized(0)
            for _ in 0..<2 { _ = queue.enqueue { plain.withValue { $0 += 1 } } }
            sure { try queue.close() }
        }.run()
        #expect(report.counterexample?.verdict.kind == .race)
    }
}
