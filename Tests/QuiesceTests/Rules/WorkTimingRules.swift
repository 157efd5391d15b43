// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

@testable import Quiesce

/// The example of the kernel's documentation: three items that burn one processor, and sleep. Times
/// are virtual.
@Suite("workqueue.timing") struct WorkTimingRules {
    /// The one processor, which items that burn it have in the order in which they came.
    private final class Processor: Sendable {
        private let tickets = Atomic<UInt32>(0)
        private let served = Atomic<UInt32>(0)

        init() {
            tickets.label("processor.tickets")
            served.label("processor.served")
        }

        /// Lets time pass, and does not tell the pool: an item that burns does not block.
        func burn(_ milliseconds: Int) {
            let ticket = tickets.add(1, ordering: .relaxed).oldValue
            spin { served.load(ordering: .acquiring) != ticket }
            BlockingObserver().observe { WorldClock.sleep(for: .milliseconds(milliseconds)) }
            served.store(ticket + 1, ordering: .releasing)
        }
    }

    /// Expects the table in every schedule, but for the order of what happens at the same time.
    ///
    /// - Parameter isRaced: whether w1 and w2 race for the processor, so that in all schedules but
    ///   the first either may be the other.
    private func expectTable(
        _ table: [(Int64, String)], _ name: String, isRaced: Bool = false,
        location: SourceLocation = #_sourceLocation,
        queues: @escaping @Sendable () -> [WorkQueue]
    ) throws {
        let names = ["w0", "w1", "w2"]
        let expected = Self.sorted(table.map { Timeline.Entry($0.0, $0.1) })
        for isFirst in [true, false] {
            try verifyInTime(name, processors: 1, executions: isFirst ? 1 : 300, location: location)
            { world in
                let (processor, timeline) = (Processor(), Timeline())
                for (item, queue) in zip(names, queues()) {
                    _ = queue.enqueue(name: item) {
                        timeline.note("\(item) burn")
                        processor.burn(5)
                        timeline.note("\(item) sleep")
                        WorldClock.sleep(for: .milliseconds(10))
                        if item == "w0" {
                            timeline.note("\(item) burn")
                            processor.burn(5)
                        }
                        timeline.note("\(item) done")
                    }
                }
                world.afterwards {
                    let found = timeline.all
                    let isAsExpected =
                        Self.sorted(found) == expected
                        || isRaced && !isFirst && Self.sorted(found.map(Self.swapped)) == expected
                    expect(isAsExpected, "\(found)")
                }
            }
        }
    }

    private static func swapped(_ entry: Timeline.Entry) -> Timeline.Entry {
        let others = ["w1": "w2", "w2": "w1"]
        let (item, what) = (String(entry.event.prefix(2)), entry.event.dropFirst(2))
        return Timeline.Entry(entry.time, (others[item] ?? item) + what)
    }

    private static func sorted(_ entries: [Timeline.Entry]) -> [Timeline.Entry] {
        entries.sorted { ($0.time, $0.event) < ($1.time, $1.event) }
    }

    @Test func original_wq_single_worker() throws {
        try expectTable(
            [
                (0, "w0 burn"), (5, "w0 sleep"), (15, "w0 burn"), (20, "w0 done"), (20, "w1 burn"),
                (25, "w1 sleep"),
                (35, "w1 done"), (35, "w2 burn"), (40, "w2 sleep"), (50, "w2 done"),
            ], "one worker"
        ) {
            let queue = WorkQueue(name: "queue", .ordered)
            return [queue, queue, queue]
        }
    }

    @Test func cmwq_max_active_ge_3() throws {
        try expectTable(
            [
                (0, "w0 burn"), (5, "w0 sleep"), (5, "w1 burn"), (10, "w1 sleep"), (10, "w2 burn"),
                (15, "w2 sleep"),
                (15, "w0 burn"), (20, "w0 done"), (20, "w1 done"), (25, "w2 done"),
            ], "limit 3"
        ) {
            let queue = WorkQueue(name: "queue", .concurrent(limit: 3))
            return [queue, queue, queue]
        }
    }

    @Test func cmwq_max_active_2() throws {
        try expectTable(
            [
                (0, "w0 burn"), (5, "w0 sleep"), (5, "w1 burn"), (10, "w1 sleep"), (15, "w0 burn"),
                (20, "w0 done"),
                (20, "w1 done"), (20, "w2 burn"), (25, "w2 sleep"), (35, "w2 done"),
            ], "limit 2"
        ) {
            let queue = WorkQueue(name: "queue", .concurrent(limit: 2))
            return [queue, queue, queue]
        }
    }

    @Test func cpu_intensive_second_queue() throws {
        try expectTable(
            [
                (0, "w0 burn"), (5, "w0 sleep"), (5, "w1 burn"), (5, "w2 burn"), (10, "w1 sleep"),
                (15, "w2 sleep"),
                (15, "w0 burn"), (20, "w0 done"), (20, "w1 done"), (25, "w2 done"),
            ], "a second queue, CPU-intensive", isRaced: true
        ) {
            let queue = WorkQueue(name: "queue")
            let second = WorkQueue(name: "second", isCPUIntensive: true)
            return [queue, second, second]
        }
    }

    /// Those of a CPU-intensive queue are not among those that run, whether they burn or sleep.
    @Test func cpu_intensive_sleeper_counts_once() throws {
        try verifyInTime("a sleeper that is CPU-intensive", processors: 1) { world in
            let (intensive, normal) = (
                WorkQueue(name: "intensive", isCPUIntensive: true), WorkQueue(name: "normal")
            )
            let runs = Runs()
            _ = intensive.enqueue { WorldClock.sleep(for: .milliseconds(100)) }
            for _ in 0..<2 {
                _ = normal.enqueue {
                    runs.run {
                        BlockingObserver().observe { WorldClock.sleep(for: .milliseconds(5)) }
                    }
                }
            }
            world.afterwards {
                expect(runs.most == 1, "more ran at a time than there are processors")
            }
        }
    }
}
