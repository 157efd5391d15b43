// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The timers of a world's delayed items: one thread, which starts with the first.
///
/// Kernel counterpart: `struct timer_list` of a `struct delayed_work`.
final class WorkTimers: Sendable, LeftBehindByFork {
    static var current: WorkTimers { World.current.value(WorkTimers.self) { WorkTimers() } }

    // Taken before the locks of queues.
    private let state = Mutex(State())
    /// Raised when the first timer has changed.
    private let point = WaitPoint()
    private let generation = World.generation
    private let whole = Subject()

    private struct State {
        var heap: [Timer] = []
        var armings: UInt64 = 0
        var isStarted = false
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

    /// Has the item be enqueued after `delay`.
    func arm(_ item: WorkItem, _ payload: UInt = 0, on queue: WorkQueue, after delay: Duration) -> Enqueued {
        guard generation == World.generation else {
            fatalError("\(queue.name) is a work queue of before a fork, whose timers stayed behind")
        }
        let deadline = (Clock.now() + delay).nanoseconds
        var (isFirst, starts, hasMoved) = (false, false, false)
        let answer: Enqueued = whole.write("arm one of") {
            state.withLock { state in
                let answer = queue.whole.write("enqueue on") {
                    queue.intake.withLock { queue.claim(item, payload, &$0, isArmed: true, &hasMoved) }
                }
                guard answer == .queued else { return answer }
                state.armings += 1
                insert(Timer(deadline: deadline, arming: state.armings, queue: queue, item: item), &state.heap)
                isFirst = item.timer.load() == 0
                starts = !state.isStarted
                state.isStarted = true
                return answer
            }
        }
        if starts { start() } else if isFirst { call() }
        if hasMoved { item.forgetEarlierHomes() }
        return answer
    }

    private func call() {
        point.word.add(1, ordering: .releasing)
        point.wake(1)
    }

    private func start() {
        do {
            _ = try Thread.spawn(name: "timers") { [self] in serve() }
        } catch { fatalError("no thread could be started for timers: \(error)") }
    }

    // MARK: Ending early

    /// Takes the timer of an item away, and returns what its function would have been given. Nil when it has fired.
    func withdraw(_ item: WorkItem) -> UInt? {
        whole.write("stop one of") {
            state.withLock { state in
                guard ItemState.isArmed(item.state.load(ordering: .relaxed)) else { return nil }
                _ = remove(item.timer.load(), &state.heap)
                let payload = item.payload.load()
                item.state.bitwiseAnd(ItemState.idleMask, ordering: .acquiringAndReleasing)
                return payload
            }
        }
    }

    /// Has the item's timer, if it runs, fire now.
    func expire(_ item: WorkItem) {
        whole.write("hasten one of") {
            let queue: WorkQueue? = state.withLock { state in
                guard ItemState.isArmed(item.state.load(ordering: .relaxed)) else { return nil }
                return fire(remove(item.timer.load(), &state.heap))
            }
            if let queue { queue.pool.list(queue) }
        }
    }

    /// Has every timer of the queue's items fire now, in the order in which they would have.
    func expire(allOf queue: WorkQueue) {
        whole.write("hasten some of") {
            let calls = state.withLock { state in
                var calls = false
                while let next = state.heap.indices.filter({ state.heap[$0].queue === queue })
                    .min(by: { state.heap[$0].precedes(state.heap[$1]) })
                {
                    if fire(remove(next, &state.heap)) != nil { calls = true }
                }
                return calls
            }
            if calls { queue.pool.list(queue) }
        }
    }

    /// Puts the item of a timer that is no more into its queue. Returns the queue if it needs a server.
    private func fire(_ timer: Timer) -> WorkQueue? {
        let item = unsafe timer.item
        let queue = timer.queue
        let calls = queue.whole.write("enqueue on") {
            queue.intake.withLock { intake in
                item.state.bitwiseAnd(~ItemState.armed, ordering: .acquiringAndReleasing)
                return queue.accept(item, &intake)
            }
        }
        return calls ? queue : nil
    }

    // MARK: The thread

    private func serve() {
        // Timers seldom follow one another closely enough to look out for them.
        var patience = WaitPoint.Patience.none
        while true {
            let seen = point.word.load(ordering: .acquiring)
            let now = Clock.now().nanoseconds
            let next: UInt64? = whole.write("fire what is due of") {
                var calls: [WorkQueue] = []
                let next: UInt64? = state.withLock { state in
                    while let first = state.heap.first, first.deadline <= now {
                        if let queue = fire(remove(0, &state.heap)) { calls.append(queue) }
                    }
                    return state.heap.first?.deadline
                }
                for queue in calls { queue.pool.list(queue) }
                return next
            }
            let deadline = next.map { Clock.Instant(nanoseconds: $0) }
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

    // MARK: Forking

    // Whoever uses it finds that its generation is over.
    func abandon() {}
}
