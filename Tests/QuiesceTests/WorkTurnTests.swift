// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// Whose turn it is, where more queues have something to run than there are workers.
@Suite struct WorkTurnTests {
    @Test func `urgent queues are served first, and the others among them`() throws {
        try verifyInTime("ten urgent queues and two others", processors: 1) { world in
            let first = WorkQueue(name: "first")
            let normal = (0..<2).map { WorkQueue(name: "normal \($0)") }
            let urgent = (0..<10).map { WorkQueue(name: "urgent \($0)", priority: .high) }
            let journal = Journal()
            _ = first.enqueue {
                // The only worker runs this.
                for queue in normal + urgent { _ = queue.enqueue { journal.note(queue.name) } }
            }
            sure { try first.flush() }
            for queue in normal + urgent { sure { try queue.flush() } }
            let expected =
                (0..<8).map { "urgent \($0)" } + ["normal 0", "urgent 8", "urgent 9", "normal 1"]
            expect(journal.all == expected, "\(journal.all)")
        }
    }

    @Test func `a worker goes on with another queue in between`() throws {
        try verifyInTime("a long queue and a short one", processors: 1) { world in
            Self.takesTurns(1)
            let (long, short) = (WorkQueue(name: "long", .ordered), WorkQueue(name: "short"))
            let journal = Journal()
            _ = long.enqueue {
                for name in ["a", "b"] { _ = long.enqueue { journal.note(name) } }
                _ = short.enqueue { journal.note("short") }
            }
            for queue in [long, short] { sure { try queue.flush() } }
            world.afterwards { expect(journal.all == ["short", "a", "b"], "\(journal.all)") }
        }
    }

    @Test func `a queue that never ends leaves others their turns`() throws {
        let (endless, other) = (WorkQueue(name: "endless"), WorkQueue(name: "other"))
        let isOver = Atomic(false)
        @Sendable func again() {
            if !isOver.load(ordering: .relaxed) { _ = endless.enqueue { again() } }
        }
        for _ in 0..<2 * World.current.processorCount { _ = endless.enqueue { again() } }
        defer { isOver.store(true, ordering: .relaxed) }
        _ = other.enqueue {}
        try other.flush(until: WorldClock.now() + .seconds(60))
    }

    private static func takesTurns(_ size: Int) {
        _ = World.current.value(WorkerPool.key) { WorkerPool(size: size, givesWay: true) }
    }

    static let programs: [(name: String, program: Program)] = [
        ("an item is enqueued twice", WorkQueueTests.enqueueTwice),
        ("two items", WorkQueueTests.twoItems),
        ("an item requeues itself", WorkQueueTests.requeue),
        ("an item is cancelled", WorkQueueTests.cancel),
    ]

    @Test(arguments: programs.indices) func `a worker that gives way leaves nothing undone`(
        _ index: Int
    ) throws {
        let (name, program) = Self.programs[index]
        for granularity in [ExplorationOptions.Granularity.fine, .coarse] {
            try verify("\(name), taking turns", granularity: granularity) { world in
                Self.takesTurns(2)
                program(world)
            }
        }
    }
}
