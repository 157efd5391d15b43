// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The threads that run the items of all queues of a world: as many at a time as there are
/// processors.
///
/// A worker whose item blocks does not count: the pool wakes another worker meanwhile, or starts
/// one. So there may be more workers than processors, up to a limit; those that have had nothing to
/// do for long end. The pool sees the waits of Quiesce and of Substrate, and what runs in
/// `withBlocking`; where items block by other means, the rescuer notices that nothing moves. Idle
/// workers are called in the order of their numbers. Kernel counterpart: `struct worker_pool`.
final class WorkerPool: Sendable, ServiceThread.Owner {
    static var current: WorkerPool {
        let world = World.current
        return world.value(key) {
            WorkerPool(size: world.processorCount, rescueDelay: world.rescueDelay)
        }
    }

    static let key = WorldKey<WorkerPool>()

    /// How many workers run at a time.
    let size: Int
    /// How many threads the pool has at most.
    private let threadLimit: Int
    /// Looks after the pool while all workers that may run do so; nil in an explored world.
    let rescuer: Rescuer?
    /// Whether a worker looks after each item which queues wait, and gives way to them, as
    /// tests explore it.
    private let givesWay: Bool
    /// Not 0 while something is listed that nobody sees to, for want of a thread.
    private let shortage = Hint()
    // Threads that enqueue read what stands before the gap, and should not wait for those that
    // change what stands behind it.
    private let gap = Gap()
    let state = Mutex(State())
    private let hint = Hint()
    let whole = Subject()

    struct State {
        /// The queues that wait for a server.
        var urgent = QueueLine()
        var normal = QueueLine()
        var workers: [Worker?] = []
        /// In descending order, so that the first to be called is the last.
        var idle: [Worker] = []
        /// How many workers stand as running.
        var running = 0
        /// How many urgent queues were served since a normal one was.
        var urgentTurns = 0
        /// Whether the rescuer looks after the pool.
        var isWatched = false
        /// Whether a worker has ended an item or taken up a queue since the rescuer looked.
        var hasMoved = false
        /// Whether a user was told that the pool has as many threads as it may have.
        var hasToldLimit = false

        /// The next queue in line. A normal one gets a turn among urgent ones, too.
        mutating func popFirst() -> WorkQueue? {
            hasMoved = true
            if urgentTurns < 8 || normal.isEmpty, let queue = urgent.popFirst() {
                urgentTurns += 1
                return queue
            }
            urgentTurns = 0
            return normal.popFirst()
        }

        var isAnyListed: Bool { !urgent.isEmpty || !normal.isEmpty }

        /// Counts a worker anew.
        mutating func set(_ worker: Worker, _ standing: Worker.Standing) {
            running += (standing == .running ? 1 : 0) - (worker.standing == .running ? 1 : 0)
            worker.standing = standing
        }
    }

    /// How long a worker beyond the pool's size stays with nothing to do. Kernel:
    /// `IDLE_WORKER_TIMEOUT`.
    static let idleTime = Duration.seconds(300)
    /// How many threads a pool has at most, if nothing else is said. Kernel: `WQ_MAX_ACTIVE`.
    static let defaultThreadLimit = 512

    init(
        size: Int, threadLimit: Int = defaultThreadLimit, rescueDelay: Duration? = nil,
        givesWay: Bool = false
    ) {
        self.size = size
        self.threadLimit = max(size, threadLimit)
        self.givesWay = givesWay
        rescuer = rescueDelay.map { Rescuer(delay: $0) }
        whole.label("pool") { state.label("pool.state") }
    }

    // MARK: Calling

    /// Calls a worker for `queue`.
    func list(_ queue: WorkQueue) {
        call("call a worker of") { state in
            if queue.priority == .high {
                state.urgent.append(queue)
            } else {
                state.normal.append(queue)
            }
        }
    }

    /// Makes a change that may call for one more worker.
    ///
    /// The system may have no thread to give, and no worker that runs may be left: all are blocked,
    /// perhaps by what is listed. Then the caller tries again for a second.
    private func call(_ name: StaticString, _ change: (inout State) -> Void) {
        if attempt(name, change) || ServiceThread.tryAgain({ tryAgain() }) { return }
        isShortOfThreads()
    }

    /// Makes a change, and has one more worker run if need be. False when there was no thread to be
    /// had, and nobody else will see to what is listed.
    func attempt(_ name: StaticString, _ change: (inout State) -> Void) -> Bool {
        whole.write(name) {
            make(
                state.withLock { state in
                    change(&state)
                    defer { tell(state) }
                    return wakeOne(&state)
                })
        }
    }

    /// Runs one more worker if need be, as above.
    @discardableResult
    func tryAgain() -> Bool { attempt("call a worker of") { _ in } }

    /// Whether something is listed that nobody sees to, for want of a thread.
    var isShort: Bool { shortage.value != 0 }

    func isShortOfThreads() {
        if shortage.value == 0 {
            warn(
                "cannot start a worker thread, and no worker is free; retrying when more is enqueued, when an item blocks, and when somebody waits for a queue"
            )
        }
        shortage.value = 1
    }

    enum Call {
        case wake(Worker)
        case start(Worker)
        /// The rescuer is to look after the pool.
        case watch
        /// A user is to be told that no more threads are started.
        case tellLimit
    }

    /// Runs one more worker, if there is something to do and too few run.
    private func wakeOne(_ state: inout State) -> Call? {
        guard state.isAnyListed else { return nil }
        guard state.running < size else { return watch(&state) }
        if let worker = state.idle.popLast() {
            state.set(worker, .running)
            return .wake(worker)
        }
        let number = state.workers.firstIndex { $0 == nil } ?? state.workers.count
        // Those that there are look at the line when they have ended their items.
        guard number < threadLimit else {
            if state.hasToldLimit { return nil }
            state.hasToldLimit = true
            return .tellLimit
        }
        let worker = Worker(number, self)
        state.set(worker, .running)
        if number == state.workers.count {
            state.workers.append(worker)
        } else {
            state.workers[number] = worker
        }
        return .start(worker)
    }

    /// False when a thread was to be started and there is none to be had, and nobody else will see
    /// to what is listed.
    private func make(_ call: Call?) -> Bool {
        switch call {
        case nil: break
        case .watch:
            // Where it cannot, nobody looks until the next time that the line is too long.
            if rescuer?.watch(self) == false { state.withLock { $0.isWatched = false } }
            return true
        case .tellLimit:
            warn(
                "\(threadLimit) workers are blocked, and no more are started; what is enqueued waits until one of their items ends"
            )
            return true
        case .wake(let worker): worker.call()
        case .start(let worker):
            // Whether it was started is not kept: one that is refused is let go of, and the next
            // attempt makes another.
            var thread = ServiceThread(name: "worker \(worker.number)")
            do {
                try thread.start { [self] in withExtendedLifetime(self) { worker.work() } }
            } catch { return isRefused(worker) }
        }
        if isShort { shortage.value = 0 }
        return true
    }

    /// The system has no thread to give. Those that run will do what is listed, later. One that had
    /// nothing to do because this one was to run is called. Else the rescuer tries again.
    private func isRefused(_ worker: Worker) -> Bool {
        let (call, willBeSeenTo): (Call?, Bool) = state.withLock { state in
            state.set(worker, .idle)
            state.workers[worker.number] = nil
            guard state.isAnyListed else { return (nil, true) }
            defer { tell(state) }
            if let idle = state.idle.popLast() {
                state.set(idle, .running)
                return (.wake(idle), true)
            }
            return (watch(&state), state.running > 0)
        }
        _ = make(call)
        return willBeSeenTo
    }

    // MARK: What workers do

    /// The queue that `worker` serves next, which has given it something to run; nil when the
    /// thread is to end.
    func next(for worker: Worker) -> WorkQueue? {
        while true {
            let queue: WorkQueue? = whole.write("look for work in") {
                while let queue = take(worker) { if queue.begin(worker) { return queue } }
                return nil
            }
            if let queue { return queue }
            guard waitForCall(worker) else { return nil }
        }
    }

    /// The next queue in line; nil when there is none, and the worker is idle.
    private func take(_ worker: Worker) -> WorkQueue? {
        let (queue, call): (WorkQueue?, Call?) = state.withLock { state in
            settle(worker, &state)
            // One that blocked meanwhile may have come back: then one too many runs.
            if state.running <= size, let queue = state.popFirst() {
                tell(state)
                return (queue, nil)
            }
            state.set(worker, .idle)
            let place = state.idle.firstIndex { $0.number < worker.number } ?? state.idle.count
            state.idle.insert(worker, at: place)
            worker.point.word.store(0, ordering: .relaxed)
            return (nil, state.isAnyListed ? watch(&state) : nil)
        }
        _ = make(call)
        return queue
    }

    /// False when the thread is to end.
    private func waitForCall(_ worker: Worker) -> Bool {
        var mayLeave = worker.number >= size
        repeat {
            switch worker.idle(until: mayLeave ? WorldClock.now() + Self.idleTime : nil) {
            case .woken: continue
            case .over: return false
            case .timedOut:
                let isDismissed = whole.write("leave") {
                    state.withLock { state in
                        guard let place = state.idle.firstIndex(where: { $0 === worker }) else {
                            return false
                        }
                        state.idle.remove(at: place)
                        state.workers[worker.number] = nil
                        return true
                    }
                }
                if isDismissed { return false }
                // The caller has chosen it and is about to raise its point.
                mayLeave = false
            }
        } while worker.point.word.load(ordering: .acquiring) == 0
        return true
    }

    /// A worker's item blocks, or is one that others should run beside.
    func stopsRunning(_ worker: Worker) {
        call("block in") {
            settle(worker, &$0)
            $0.set(worker, .blocked)
        }
    }

    func runsAgain(_ worker: Worker) {
        whole.write("go on in") {
            state.withLock {
                $0.set(worker, .running)
                tell($0)
            }
        }
    }

    // MARK: Turns

    /// How long a worker has served one queue while others wait.
    struct Turn {
        fileprivate var items = 0
        fileprivate var othersSince: UInt64 = 0
    }

    private enum Waiting {
        static let urgent: UInt32 = 1
        static let normal: UInt32 = 2
        /// More run than there are processors.
        static let tooMany: UInt32 = 4
    }

    private func whoWaits(_ state: borrowing State) -> UInt32 {
        (state.urgent.isEmpty ? 0 : Waiting.urgent) | (state.normal.isEmpty ? 0 : Waiting.normal)
            | (state.running > size ? Waiting.tooMany : 0)
    }

    /// Publishes, for readers without the lock, which queues wait.
    func tell(_ state: borrowing State) { hint.value = whoWaits(state) }

    /// Whether a worker that has run one more item of a queue should look what else waits. Kernel:
    /// `keep_working`.
    func isOver(_ turn: inout Turn, _ priority: WorkQueue.Priority) -> Bool {
        let waiting =
            givesWay
            ? whole.read("look who waits in") { state.withLock { whoWaits($0) } } : hint.value
        guard waiting & (Waiting.urgent | Waiting.normal) != 0 else { return false }
        if waiting & Waiting.tooMany != 0 || waiting & Waiting.urgent != 0 && priority == .normal {
            return true
        }
        if givesWay { return true }
        turn.items += 1
        let now = Hint.nanoseconds
        if turn.othersSince == 0 { turn.othersSince = now }
        return turn.items >= 64 || now - turn.othersSince > 1_000_000
    }

    /// How many threads there are, how many of them have nothing to do, and how many run or look
    /// for work.
    var census: (workers: Int, idle: Int, running: Int) {
        whole.read("look at") {
            state.withLock { state in
                (state.workers.count { $0 != nil }, state.idle.count, state.running)
            }
        }
    }
}
