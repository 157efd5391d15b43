// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// Timers of items, explored at fine granularity, to the end. A timer may fire at any step.
@Suite struct DelayedWorkTests {
    static let cancel: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = Runs()
        let item = DelayedWork(name: "item") { runs.count() }
        expect(queue.enqueue(item, after: .seconds(1)) == .queued)
        let wasPending = item.cancel()
        // An item that is cancelled too late has run, or will.
        if !wasPending { sure { try item.flush() } }
        expect(
            runs.total == (wasPending ? 0 : 1), "an item was lost, or ran although it was cancelled"
        )
        expect(!item.isPending)
    }

    static let disable: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let isGone = Unsynchronized(false)
        let item = DelayedWork(name: "item") {
            expect(!isGone.load(), "an item ran after it was disabled")
        }
        _ = queue.enqueue(item, after: .seconds(1))
        sure { try item.close() }
        isGone.store(true)
        expect(queue.enqueue(item, after: .seconds(1)) == .disabled)
        expect(queue.enqueue(item) == .disabled)
    }

    static let flush: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let value = Unsynchronized(0)
        let item = DelayedWork(name: "item") { value.withValue { $0 += 1 } }
        _ = queue.enqueue(item, after: .seconds(1))
        sure { try item.flush() }
        expect(value.load() == 1, "a flush waited neither for the timer nor for the function")
        expect(!item.isPending)
    }

    static let flushByTwo: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = Runs()
        let item = DelayedWork(name: "item") { runs.count() }
        _ = queue.enqueue(item, after: .seconds(1))
        world.thread("other") {
            sure { try item.flush() }
            expect(runs.total == 1, "a flush was over before the function")
        }
        sure { try item.flush() }
        expect(runs.total == 1, "a flush was over before the function")
    }

    static let destroy: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = Unsynchronized(0)
        for name in ["one", "other"] {
            _ = queue.enqueue(
                DelayedWork(name: name) { runs.withValue { $0 += 1 } }, after: .seconds(1))
        }
        sure { try queue.close() }
        expect(runs.load() == 2, "a timer was lost")
    }

    static let reschedule: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = Runs()
        let item = DelayedWork(name: "item") { runs.count() }
        _ = queue.enqueue(item, after: .seconds(2))
        let answer = queue.reschedule(item, after: .seconds(1))
        world.afterwards {
            switch answer {
            case .alreadyPending:
                expect(runs.total == 1, "an item that was rescheduled ran twice, or not")
            case .queued: expect(runs.total == 2, "an item whose timer had fired was lost")
            default: expect(false, "a reschedule was refused")
            }
        }
    }

    /// Who waits for the function, which nobody hastens.
    private static func run(
        _ item: DelayedWork, on queue: WorkQueue, _ runs: WaitPoint.Count, _ number: UInt32
    ) {
        expect(queue.enqueue(item, after: .seconds(1)) == .queued)
        runs.wait(for: number)
    }

    static let again: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = WaitPoint.Count()
        let item = DelayedWork(name: "item") { runs.add() }
        run(item, on: queue, runs, 1)
        // The thread of the timers has none to wait for now, and has to be called.
        run(item, on: queue, runs, 2)
    }

    static let rearm: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = Runs()
        let item = Later<DelayedWork>()
        item.set(
            DelayedWork(name: "item") {
                runs.run {
                    if runs.total == 1 { _ = queue.enqueue(item.value, after: .seconds(1)) }
                }
            })
        _ = queue.enqueue(item.value, after: .seconds(1))
        sure { try item.value.close() }
        expect(
            runs.current == 0 && item.value.activity == [], "an item went on after it was disabled")
    }

    static let directly: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = Runs()
        let item = DelayedWork(name: "item") { runs.count() }
        _ = queue.enqueue(item, after: .seconds(1))
        let cancelled = Runs("cancelled")
        world.thread("canceller") { if item.cancel() { cancelled.count() } }
        let answer = queue.enqueue(item)
        world.afterwards {
            expect(
                runs.total + cancelled.total == (answer == .queued ? 2 : 1),
                "an item was lost, or ran although it was cancelled")
        }
    }

    static let reference: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let releases = Runs("releases")
        let counted = Counted(releases)
        let owner = Reference(counted)
        expect(queue.enqueue(counted.work, owner.share(), after: .seconds(1)).answer == .queued)
        // The one that is given back is dropped.
        if queue.enqueue(counted.work, owner.share(), after: .seconds(1)).answer != .queued {
            counted.work.cancel()
        }
        owner.drop()
        world.afterwards { expect(releases.total == 1, "a reference was leaked") }
    }

    final class Counted: ReferenceCounted {
        static var isUsableAfterRelease: Bool { true }
        let referenceCount = ReferenceCount()
        let work = ObjectWork<Counted>(name: "work") { $0.drop() }
        let releases: Runs

        init(_ releases: Runs) { self.releases = releases }

        func release() { releases.count() }
    }

    static let destroyOne: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let value = Unsynchronized(0)
        let item = DelayedWork(name: "item") { value.store(1) }
        _ = queue.enqueue(item, after: .seconds(1))
        sure { try queue.close() }
        expect(value.load() == 1, "a timer was lost")
        expect(queue.enqueue(item, after: .seconds(1)) == .draining)
    }

    static let cases = [
        WorkQueueTests.Case(testDescription: "a timer fires against a cancel", program: cancel),
        WorkQueueTests.Case(testDescription: "a timer fires against a disable", program: disable),
        WorkQueueTests.Case(testDescription: "a flush ends the wait of a timer", program: flush),
        WorkQueueTests.Case(
            testDescription: "a queue of a timer is destroyed", program: destroyOne),
        WorkQueueTests.Case(
            testDescription: "an item is armed again after it has run", program: again),
        WorkQueueTests.Case(
            testDescription: "an armed item is cancelled and enqueued without delay",
            program: directly),
        WorkQueueTests.Case(
            testDescription: "an armed item with a reference is cancelled", program: reference),
    ]

    /// Those that have tens of thousands of interleavings.
    static let larger = [
        WorkQueueTests.Case(
            testDescription: "an item that is armed is rescheduled", program: reschedule),
        WorkQueueTests.Case(
            testDescription: "an item that arms itself is disabled", program: rearm),
    ]

    /// Those that have even more where preemptions are counted.
    static let largest = [
        WorkQueueTests.Case(
            testDescription: "two flush an item that is armed", program: flushByTwo),
        WorkQueueTests.Case(
            testDescription: "a queue of two timers is destroyed", program: destroy),
    ]

    @Test(arguments: cases) func `every interleaving ends well`(_ each: WorkQueueTests.Case) throws
    {
        try verify(each.testDescription) { each.program($0) }
    }

    @Test(arguments: larger) func `every interleaving of few preemptions ends well`(
        _ each: WorkQueueTests.Case
    ) throws {
        try verify(each.testDescription, preemptions: 2) { each.program($0) }
    }

    @Test(arguments: cases + larger + largest)
    func `as steps, its operations lead to the same`(_ each: WorkQueueTests.Case) throws {
        try verify(each.testDescription, granularity: .coarse) { each.program($0) }
    }
}

extension WaitPoint {
    /// A number that threads wait for.
    final class Count: Sendable {
        private let point = WaitPoint()

        init() { point.label("count") }

        func add() {
            point.word.add(1, ordering: .sequentiallyConsistent)
            point.wake()
        }

        func wait(for number: UInt32) {
            while true {
                let found = point.word.load(ordering: .sequentiallyConsistent)
                if found >= number { return }
                point.wait(while: found)
            }
        }
    }
}
