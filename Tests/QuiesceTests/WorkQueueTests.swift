// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// Counts what an item does, and whether it ran beside itself.
final class Runs: Sendable {
    private struct State {
        var total = 0
        var current = 0
        var most = 0
    }

    private let state = Mutex(State())

    init(_ name: String = "runs") { state.label(name) }

    func run(_ body: () -> Void = {}) {
        state.withLock {
            $0.total += 1
            $0.current += 1
            $0.most = max($0.most, $0.current)
        }
        body()
        state.withLock { $0.current -= 1 }
    }

    /// As `run`, in one step.
    func count() { state.withLock { $0.total += 1 } }

    var total: Int { state.withLock { $0.total } }
    var current: Int { state.withLock { $0.current } }
    var most: Int { state.withLock { $0.most } }
}

/// Something that is set once, by one thread before others look.
final class Later<Value: Sendable>: Sendable {
    private let held = Mutex<Value?>(nil)

    init() { held.label("later") }

    func set(_ value: Value) { held.withLock { $0 = value } }
    var value: Value { held.withLock { $0! } }
}

/// The queue explored at fine granularity, to the end.
@Suite struct WorkQueueTests {
    static let enqueueTwice: Program = { world in
        let queue = WorkQueue(name: "queue")
        let runs = Runs()
        let item = Work(name: "item") { runs.run() }
        let queued = Runs("queued")
        for name in ["one", "other"] {
            world.thread(name) { if queue.enqueue(item) == .queued { queued.count() } }
        }
        world.afterwards {
            expect(runs.total == queued.total && runs.current == 0, "an item ran too often or not")
            expect(runs.most == 1, "an item ran beside itself")
        }
    }

    static let twoItems: Program = { world in
        let queue = WorkQueue(name: "queue")
        let runs = Runs()
        for name in ["one", "two"] { _ = queue.enqueue(Work(name: name) { runs.count() }) }
        sure { try queue.flush() }
        expect(runs.total == 2, "a flush missed an item")
    }

    static let requeue: Program = { world in
        let queue = WorkQueue(name: "queue")
        let runs = Runs()
        let item = Later<Work>()
        item.set(
            Work(name: "item") {
                runs.run { if runs.total == 1 { expect(queue.enqueue(item.value) == .queued) } }
            })
        _ = queue.enqueue(item.value)
        world.afterwards {
            expect(runs.total == 2 && runs.most == 1)
            expect(item.value.activity == [])
        }
    }

    static let requeueByAnother: Program = { world in
        let queue = WorkQueue(name: "queue")
        let runs = Runs()
        let hasStarted = WaitPoint()
        let item = Work(name: "item") {
            runs.run {
                hasStarted.word.store(1, ordering: .sequentiallyConsistent)
                hasStarted.wake()
            }
        }
        _ = queue.enqueue(item)
        hasStarted.wait(while: 0)
        expect(queue.enqueue(item) == .queued)
        sure { try item.flush() }
        expect(runs.total == 2 && runs.most == 1, "an item ran beside itself")
    }

    static let cancel: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = Runs()
        let first = Work(name: "first") { runs.run() }
        let second = Work(name: "second") { runs.run() }
        _ = queue.enqueue(first)
        _ = queue.enqueue(second)
        let cancelled = Runs("cancelled")
        world.thread("canceller") { if second.cancel() { cancelled.count() } }
        world.afterwards {
            expect(
                runs.total + cancelled.total == 2,
                "an item was lost, or ran although it was cancelled")
        }
    }

    static let disable: Program = { world in
        let queue = WorkQueue(name: "queue")
        let isGone = Unsynchronized(false)
        let item = Work(name: "item") {
            expect(!isGone.load(), "an item ran after it was disabled")
        }
        world.thread("another path") { _ = queue.enqueue(item) }
        _ = queue.enqueue(item)
        sure { try item.close() }
        isGone.store(true)
        expect(queue.enqueue(item) == .disabled)
    }

    static let cancelAndWait: Program = { world in
        let queue = WorkQueue(name: "queue")
        let runs = Runs()
        let item = Later<Work>()
        item.set(
            Work(name: "item") { runs.run { if runs.total < 2 { _ = queue.enqueue(item.value) } } })
        _ = queue.enqueue(item.value)
        sure { try item.value.cancelAndWait() }
        expect(
            runs.current == 0 && item.value.activity == [], "an item went on after it was cancelled"
        )
    }

    static let flushItem: Program = { world in
        let queue = WorkQueue(name: "queue")
        let value = Unsynchronized(0)
        let item = Work(name: "item") { value.store(1) }
        _ = queue.enqueue(item)
        sure { try item.flush() }
        expect(value.load() == 1)
        expect(try! !item.flush())
    }

    static let flushAmongArrivals: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let value = Unsynchronized(0)
        _ = queue.enqueue(Work(name: "early") { value.store(1) })
        world.thread("arrival") { _ = queue.enqueue(name: "late") {} }
        sure { try queue.flush() }
        expect(value.load() == 1)
    }

    static let destroy: Program = { world in
        let queue = WorkQueue(name: "queue")
        let isGone = Unsynchronized(false)
        let (runs, queued) = (Runs(), Runs("queued"))
        world.thread("another path") {
            let answer = queue.enqueue(name: "item") {
                expect(!isGone.load())
                runs.count()
            }
            if answer == .queued { queued.count() } else { expect(answer == .draining) }
        }
        _ = queue.enqueue(name: "first") {
            expect(!isGone.load())
            runs.count()
        }
        sure { try queue.close() }
        isGone.store(true)
        world.afterwards { expect(runs.total == queued.total + 1, "an item was lost") }
    }

    static let drain: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = Runs()
        _ = queue.enqueue(name: "first") {
            expect(
                queue.enqueue(name: "second") { runs.count() } == .queued,
                "a chained item was refused")
            runs.count()
        }
        sure { try queue.drain() }
        expect(runs.total == 2, "a drain ended early")
        expect(queue.enqueue(name: "third") { runs.count() } == .queued)
    }

    static let selfFree: Program = { world in
        let queue = WorkQueue(name: "queue")
        let log = Freed()
        let owner = Reference(Owner(log))
        let item = owner.withObject { $0.work }
        let answer = queue.enqueue(item, owner).answer
        expect(answer == .queued)
        world.afterwards {
            expect(log.isFreedInside, "the queue kept the reference after its function had started")
        }
    }

    /// Notes whether an object was released while its item's function ran.
    final class Freed: Sendable {
        private let state = Mutex((isInside: false, isFreed: false))

        init() { state.label("freed") }

        var isFreedInside: Bool { state.withLock { $0.isFreed } }
        func enter() { state.withLock { $0.isInside = true } }
        func leave() { state.withLock { $0.isInside = false } }
        func free() { state.withLock { if $0.isInside { $0.isFreed = true } } }
    }

    final class Owner: ReferenceCounted {
        let referenceCount = ReferenceCount()
        let work: ObjectWork<Owner>
        let log: Freed

        init(_ log: Freed) {
            self.log = log
            work = ObjectWork(name: "work") { owner in
                log.enter()
                owner.drop()
                log.leave()
            }
        }

        func release() { log.free() }
    }

    static let letGo: Program = { world in
        let queue = WorkQueue(name: "queue")
        let item = Watched()
        let isLetGo = WaitPoint()
        let isGone = Atomic(false)
        item.enqueue(on: queue) {
            isLetGo.wait(while: 0)
            isGone.store(item.isGone, ordering: .relaxed)
        }
        isLetGo.word.store(1, ordering: .sequentiallyConsistent)
        isLetGo.wake()
        world.afterwards {
            expect(
                isGone.load(ordering: .relaxed), "the queue kept an item whose function had started"
            )
        }
    }

    /// An item that somebody looks after without keeping it.
    final class Watched: Sendable {
        private let held = Mutex(Weak())

        private struct Weak {
            weak var item: Work?
        }

        func enqueue(on queue: WorkQueue, _ body: @escaping @Sendable () -> Void) {
            let item = Work(name: "item", body)
            held.withLock { $0.item = item }
            _ = queue.enqueue(item)
        }

        var isGone: Bool { held.withLock { $0.item == nil } }
    }

    static let twoQueues: Program = { world in
        let queues = [WorkQueue(name: "q1", .ordered), WorkQueue(name: "q2", .ordered)]
        let runs = Runs()
        let item = Later<Work>()
        item.set(
            Work(name: "item") {
                runs.run { if runs.total == 1 { _ = queues[1].enqueue(item.value) } }
            }
        )
        _ = queues[0].enqueue(item.value)
        sure { try item.value.close() }
        expect(runs.current == 0, "an item was running on a queue that it had left")
    }

    static let limit: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = Runs()
        for name in ["one", "two"] { _ = queue.enqueue(name: name) { runs.run() } }
        world.afterwards {
            expect(runs.total == 2 && runs.most == 1, "an ordered queue ran two at a time")
        }
    }

    static let rearming: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = Runs()
        let beat = Later<DelayedWork>()
        beat.set(
            DelayedWork(name: "beat") {
                runs.run { if runs.total < 3 { _ = queue.enqueue(beat.value, after: .seconds(1)) } }
            })
        _ = queue.enqueue(beat.value, after: .seconds(1))
        sure { try queue.close() }
        let ran = runs.total
        world.afterwards {
            expect(runs.total == ran, "an item armed itself on a queue that was destroyed")
        }
    }

    /// Two items wait for a lock whose holder waits for a third.
    static let waitingForLocks: Program = { world in
        let queue = WorkQueue(name: "queue")
        let lock = Mutex(())
        let third = Work(name: "third") {}
        lock.lock()
        _ = queue.enqueue(name: "first") { lock.withLock { _ in } }
        _ = queue.enqueue(name: "second") { lock.withLock { _ in } }
        _ = queue.enqueue(third)
        sure { try third.flush() }
        lock.unlock()
    }

    /// Who finds the item pending has written before its function reads.
    static let publishing: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let value = Unsynchronized(0)
        let block = WaitPoint()
        let item = Work(name: "item") { expect(value.load() == 1) }
        _ = queue.enqueue(name: "block") { block.wait(while: 0) }
        _ = queue.enqueue(item)
        value.store(1)
        expect(queue.enqueue(item) == .alreadyPending)
        block.word.store(1, ordering: .relaxed)
        block.wake()
    }

    /// Destroys a queue when it goes.
    private final class Destroyer: Sendable {
        let queue: WorkQueue

        init(_ queue: WorkQueue) { self.queue = queue }

        func touch() {}

        deinit {
            do throws(QuiesceError) {
                try queue.close()
            } catch {
                if case .inside = error { return }
                expect(false, "\(error)")
            }
        }
    }

    static let endingWithin: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let destroyer = Destroyer(queue)
        _ = queue.enqueue { destroyer.touch() }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let program: Program
    }

    static let cases = [
        Case(testDescription: "two enqueue one item", program: enqueueTwice),
        Case(testDescription: "two items beside each other", program: twoItems),
        Case(testDescription: "an item enqueues itself", program: requeue),
        Case(testDescription: "an item is enqueued while it runs", program: requeueByAnother),
        Case(testDescription: "an item is cancelled", program: cancel),
        Case(testDescription: "an item is disabled against another path", program: disable),
        Case(testDescription: "an item that enqueues itself is cancelled", program: cancelAndWait),
        Case(testDescription: "an item is flushed", program: flushItem),
        Case(
            testDescription: "a queue is flushed while others arrive", program: flushAmongArrivals),
        Case(testDescription: "a queue is destroyed against another path", program: destroy),
        Case(testDescription: "a queue is drained of a chain", program: drain),
        Case(testDescription: "an item ends its object's life", program: selfFree),
        Case(testDescription: "an item ends its own life", program: letGo),
        Case(testDescription: "an ordered queue", program: limit),
        Case(testDescription: "a pending item is enqueued", program: publishing),
        Case(testDescription: "what a function keeps destroys its queue", program: endingWithin),
    ]

    @Test(arguments: cases) func `every interleaving ends well`(_ each: Case) throws {
        try verify(each.testDescription) { each.program($0) }
    }

    @Test(arguments: [
        Case(testDescription: "an item moves to another queue", program: twoQueues)
    ]) func `every interleaving with two preemptions ends well`(_ each: Case) throws {
        try verify(each.testDescription, preemptions: 2) { each.program($0) }
    }

    @Test(arguments: [
        Case(
            testDescription: "an item arms itself while its queue is destroyed", program: rearming),
        Case(
            testDescription: "items wait for a lock whose holder waits for an item",
            program: waitingForLocks),
    ]) func `every interleaving with one preemption ends well`(_ each: Case) throws {
        try verify(each.testDescription, preemptions: 1) { each.program($0) }
    }

    @Test(arguments: cases) func `as steps, its operations lead to the same`(_ each: Case) throws {
        try verify(each.testDescription, granularity: .coarse) { each.program($0) }
    }
}
