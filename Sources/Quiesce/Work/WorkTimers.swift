// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The timers of a world's delayed items: one thread, which starts with the first.
///
/// Kernel counterpart: `struct timer_list` of a `struct delayed_work`.
final class WorkTimers: Sendable, ServiceThread.Owner {
    static var current: WorkTimers { World.current.value(key) { WorkTimers() } }
    static let key = WorldKey<WorkTimers>()

    // Taken before the locks of queues.
    private let state = Mutex(State())
    /// Raised when the first timer has changed.
    private let point = WaitPoint()
    private let whole = Subject()
    /// Not 0 while timers are armed and the system has no thread to fire them.
    private let shortage = Hint()

    private struct State {
        var heap: [Timer] = []
        var armings: UInt64 = 0
        var thread = ServiceThread(name: "timers")
    }

    @safe
    private struct Timer {
        let deadline: UInt64
        /// Timers of one deadline fire in the order in which they were armed.
        let arming: UInt64
        let queue: WorkQueue
        // Kept by the reference that belongs to its being pending.
        unowned(unsafe) let item: WorkItem

        func precedes(_ other: Timer) -> Bool {
            deadline == other.deadline ? arming < other.arming : deadline < other.deadline
        }
    }

    init() {
        whole.label("timers") { state.label("timers.state") }
        point.label("timers.change")
    }

    // MARK: Arming

    /// Enqueues the item after `delay`.
    func arm(_ item: WorkItem, _ payload: UInt, on queue: WorkQueue, after delay: Duration)
        -> Enqueued
    {
        queue.checkGeneration()
        let deadline = (WorldClock.now() + delay).nanoseconds
        var (calls, isServed, hasMoved) = (false, true, false)
        let answer: Enqueued = whole.write("arm one of") {
            state.withLock { state in
                let answer = queue.whole.write("enqueue on") {
                    queue.intake.withLock {
                        queue.claim(item, payload, &$0, isArmed: true, &hasMoved)
                    }
                }
                queue.tell(answer, item.name, isArmed: true)
                guard answer == .queued else { return answer }
                let wasServed = state.thread.isStarted
                // A thread that starts looks by itself.
                calls = start(item, on: queue, deadline, &state) && wasServed
                isServed = startThread(&state)
                return answer
            }
        }
        if calls { call() }
        if !isServed { isRefused() }
        item.wasAnswered(answer, hasMoved: hasMoved)
        return answer
    }

    /// Gives an item's timer another delay. False when none runs for this queue.
    func rearm(_ item: WorkItem, on queue: WorkQueue, after delay: Duration) -> Bool {
        let deadline = (WorldClock.now() + delay).nanoseconds
        var isFirst = false
        let isArmed = whole.write("arm one of") {
            state.withLock { state in
                let found = item.state.load(ordering: .relaxed)
                guard ItemState.isArmed(found), ItemState.queue(found) == queue.number else {
                    return false
                }
                _ = remove(item.timer.load(), &state.heap)
                isFirst = start(item, on: queue, deadline, &state)
                Subject.does("arm \(item.name) on \(queue.name) again")
                return true
            }
        }
        if isFirst { call() }
        return isArmed
    }

    /// Puts an item's timer among the others. True when it is the first that will fire.
    private func start(
        _ item: WorkItem, on queue: WorkQueue, _ deadline: UInt64, _ state: inout State
    ) -> Bool {
        state.armings += 1
        insert(
            Timer(deadline: deadline, arming: state.armings, queue: queue, item: item), &state.heap)
        return item.timer.load() == 0
    }

    private func call() {
        point.word.add(1, ordering: .releasing)
        point.wake(1)
    }

    /// Starts the thread, unless that was done. False when the system has none to give.
    private func startThread(_ state: inout State) -> Bool {
        guard (try? state.thread.start { [self] in serve() }) != nil else { return false }
        if isShort { shortage.value = 0 }
        return true
    }

    /// Whether timers are armed and the system had no thread to fire them.
    var isShort: Bool { shortage.value != 0 }

    /// Tries again to start the thread. False when the system has none to give.
    @discardableResult
    func tryAgain() -> Bool { whole.write("start") { state.withLock { startThread(&$0) } } }

    /// Nobody else fires the timers. The first caller that is refused tries again for a second.
    private func isRefused() {
        guard !isShort, !ServiceThread.tryAgain({ tryAgain() }) else { return }
        shortage.value = 1
        warn(
            "cannot start the thread for timers, and delayed items do not become due; retrying when an item is delayed, when an idle queue gets work, and when somebody waits for a queue"
        )
    }

    // MARK: Ending early

    /// Takes the timer of an item away, and returns what its function would have been given. Nil
    /// when it has fired.
    func withdraw(_ item: WorkItem, disabling: Bool) -> UInt? {
        // What a timer keeps goes once the lock is given back.
        let withdrawn: (payload: UInt, timer: Timer)? = whole.write("stop one of") {
            state.withLock { state in
                guard ItemState.isArmed(item.state.load(ordering: .relaxed)) else { return nil }
                let timer = remove(item.timer.load(), &state.heap)
                Subject.does("stop the timer of \(item.name)")
                let payload = item.payload.load()
                item.endPending(disabling: disabling)
                return (payload, timer)
            }
        }
        return withdrawn?.payload
    }

    /// Fires the item's timer now. False when it does not run.
    func expire(_ item: WorkItem) -> Bool {
        var isArmed = false
        fire {
            isArmed = ItemState.isArmed(item.state.load(ordering: .relaxed))
            return isArmed ? [remove(item.timer.load(), &$0)] : []
        }
        return isArmed
    }

    /// Fires every timer of the queue's items now, in the order in which they would have fired.
    func expire(allOf queue: WorkQueue) {
        fire { heap in
            let due = heap.filter { $0.queue === queue }
            guard !due.isEmpty else { return [] }
            heap.removeAll { $0.queue === queue }
            for index in stride(from: heap.count / 2, through: 0, by: -1) where index < heap.count {
                sink(index, &heap)
            }
            for index in heap.indices { note(index, heap) }
            return due.sorted { $0.precedes($1) }
        }
    }

    /// Fires the timers that `take` takes out of the heap, and returns when the next one fires.
    @discardableResult
    private func fire(_ take: (inout [Timer]) -> [Timer]) -> UInt64? {
        var fired: [Timer] = []
        var events: [(WorkQueue, WorkEvent)] = []
        let next: UInt64? = whole.write("fire some of") {
            var calls: [WorkQueue] = []
            let next: UInt64? = state.withLock { state in
                fired = take(&state.heap)
                for timer in fired {
                    if let event = enqueue(timer, &calls) { events.append((timer.queue, event)) }
                }
                return state.heap.first?.deadline
            }
            for queue in calls { queue.pool.list(queue) }
            return next
        }
        for (queue, event) in events { queue.tracer?.queued(event) }
        return next
    }

    /// Puts the item of a timer that is no more into its queue.
    private func enqueue(_ timer: Timer, _ calls: inout [WorkQueue]) -> WorkEvent? {
        let (item, queue) = unsafe (timer.item, timer.queue)
        return queue.whole.write("enqueue on") {
            Subject.does("enqueue \(item.name) on \(queue.name) by its timer")
            return queue.intake.withLock { intake in
                item.state.bitwiseAnd(~ItemState.armed, ordering: .acquiringAndReleasing)
                if queue.accept(item, &intake) { calls.append(queue) }
                return queue.isTraced ? queue.event(item.id.load(), item.name, intake.ticket) : nil
            }
        }
    }

    // MARK: The thread

    private func serve() {
        // Timers seldom follow one another closely enough to look out for them.
        var patience = WaitPoint.Patience.none
        while true {
            let seen = point.word.load(ordering: .acquiring)
            let now = WorldClock.now().nanoseconds
            let next = fire { heap in
                var due: [Timer] = []
                while let first = heap.first, first.deadline <= now { due.append(remove(0, &heap)) }
                return due
            }
            let deadline = next.map { WorldClock.Instant(nanoseconds: $0) }
            if case .over = point.idle(while: seen, until: deadline, patience: &patience) { return }
        }
    }

    // MARK: The heap

    private func insert(_ timer: Timer, _ heap: inout [Timer]) {
        heap.append(timer)
        rise(heap.count - 1, &heap)
    }

    private func remove(_ index: Int, _ heap: inout [Timer]) -> Timer {
        let last = heap.count - 1
        heap.swapAt(index, last)
        let removed = heap.removeLast()
        if index < last {
            rise(index, &heap)
            sink(index, &heap)
        }
        return removed
    }

    private func rise(_ index: Int, _ heap: inout [Timer]) {
        var index = index
        while index > 0, heap[index].precedes(heap[(index - 1) / 2]) {
            heap.swapAt(index, (index - 1) / 2)
            note(index, heap)
            index = (index - 1) / 2
        }
        note(index, heap)
    }

    private func sink(_ index: Int, _ heap: inout [Timer]) {
        var index = index
        while 2 * index + 1 < heap.count {
            var least = 2 * index + 1
            if least + 1 < heap.count, heap[least + 1].precedes(heap[least]) { least += 1 }
            guard heap[least].precedes(heap[index]) else { break }
            heap.swapAt(index, least)
            note(index, heap)
            index = least
        }
        note(index, heap)
    }

    /// Tells an item where its timer is.
    private func note(_ index: Int, _ heap: [Timer]) {
        unsafe heap[index].item.timer.store(index)
    }
}
