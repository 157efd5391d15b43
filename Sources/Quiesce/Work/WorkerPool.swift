// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The threads that run the items of all queues of a world: as many at a time as there are
/// processors.
///
/// A worker whose item blocks does not count; another runs meanwhile, and one is started if need
/// be. So there may be more than processors, and those that have had nothing to do for long end.
/// Idle ones are called in the order of their numbers. Kernel counterpart: `struct worker_pool`.
final class WorkerPool: Sendable, ServiceThread.Owner {
    static var current: WorkerPool {
        let world = World.current
        return world.value(key) { WorkerPool(size: world.processorCount) }
    }

    static let key = WorldKey<WorkerPool>()

    /// How many workers run at a time.
    private let size: Int
    /// Whether a worker looks after each item who else waits, and gives way to whoever does, as
    /// tests explore it.
    private let givesWay: Bool
    /// Not 0 while something is listed that nobody sees to, for want of a thread.
    private let shortage = Hint()
    // Who enqueues reads what is before, and should not wait for those who change what is behind.
    private let gap = Gap()
    private let state = Mutex(State())
    private let hint = Hint()
    private let whole = Subject()

    private struct State {
        /// Those who wait for a server.
        var urgent = QueueLine()
        var normal = QueueLine()
        var workers: [Worker?] = []
        /// In descending order, so that the first to be called is the last.
        var idle: [Worker] = []
        /// How many run an item, or look for one, or are called.
        var running = 0
        /// How many urgent queues were served since a normal one was.
        var urgentTurns = 0

        /// The next queue in line. A normal one gets a turn among urgent ones, too.
        mutating func popFirst() -> WorkQueue? {
            if urgentTurns < 8 || normal.isEmpty, let queue = urgent.popFirst() {
                urgentTurns += 1
                return queue
            }
            urgentTurns = 0
            return normal.popFirst()
        }

        var isAnyListed: Bool { !urgent.isEmpty || !normal.isEmpty }
    }

    /// How long a worker beyond the pool's size stays with nothing to do. Kernel:
    /// `IDLE_WORKER_TIMEOUT`.
    static let idleTime = Duration.seconds(300)

    init(size: Int, givesWay: Bool = false) {
        self.size = size
        self.givesWay = givesWay
        whole.label("pool") { state.label("pool.state") }
    }

    // MARK: Calling

    /// Has a worker serve `queue`.
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
    private func attempt(_ name: StaticString, _ change: (inout State) -> Void) -> Bool {
        whole.write(name) {
            make(
                state.withLock { state in
                    change(&state)
                    defer { tell(state) }
                    return wakeOne(&state)
                })
        }
    }

    /// Has one more worker run if need be, as above.
    @discardableResult
    func tryAgain() -> Bool { attempt("call a worker of") { _ in } }

    /// Whether something is listed that nobody sees to, for want of a thread.
    var isShort: Bool { shortage.value != 0 }

    private func isShortOfThreads() {
        if shortage.value == 0 {
            warn(
                "cannot start a worker thread, and no worker is free; retrying when more is enqueued, when an item blocks, and when somebody waits for a queue"
            )
        }
        shortage.value = 1
    }

    private enum Call {
        case wake(Worker)
        case start(Worker)
    }

    /// Has one more worker run, if there is something to do and not enough run.
    private func wakeOne(_ state: inout State) -> Call? {
        guard state.isAnyListed, state.running < size else { return nil }
        state.running += 1
        if let worker = state.idle.popLast() { return .wake(worker) }
        let number = state.workers.firstIndex { $0 == nil } ?? state.workers.count
        let worker = Worker(number, self)
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
    /// nothing to do because this one was to run is called.
    private func isRefused(_ worker: Worker) -> Bool {
        let (idle, willBeSeenTo): (Worker?, Bool) = state.withLock { state in
            state.running -= 1
            state.workers[worker.number] = nil
            guard state.isAnyListed else { return (nil, true) }
            let idle = state.idle.popLast()
            if idle != nil { state.running += 1 }
            tell(state)
            return (idle, state.running > 0)
        }
        idle?.call()
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
        state.withLock { state in
            // One that blocked meanwhile may have come back: then one too many runs.
            if state.running <= size, let queue = state.popFirst() {
                tell(state)
                return queue
            }
            state.running -= 1
            let place = state.idle.firstIndex { $0.number < worker.number } ?? state.idle.count
            state.idle.insert(worker, at: place)
            worker.point.word.store(0, ordering: .relaxed)
            return nil
        }
    }

    /// False when the thread is to end.
    private func waitForCall(_ worker: Worker) -> Bool {
        let isSpare = worker.number >= size
        repeat {
            switch worker.idle(until: isSpare ? Clock.now() + Self.idleTime : nil) {
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
            }
        } while worker.point.word.load(ordering: .acquiring) == 0
        return true
    }

    /// A worker's item blocks, or is one that others should run beside.
    func stopsRunning() { call("block in") { $0.running -= 1 } }

    func runsAgain() {
        whole.write("go on in") {
            state.withLock {
                $0.running += 1
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

    /// Says without the lock who waits.
    private func tell(_ state: borrowing State) { hint.value = whoWaits(state) }

    /// Whether a worker that has run one more item of a queue should look who else waits. Kernel:
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

/// Queues that wait for a server, linked through themselves. The pool's lock protects it.
@safe
private struct QueueLine {
    private var first: WorkQueue?
    unowned(unsafe) private var last: WorkQueue?

    var isEmpty: Bool { first == nil }

    mutating func append(_ queue: WorkQueue) {
        if let last = unsafe last { last.nextListed.store(queue) } else { first = queue }
        unsafe last = queue
    }

    mutating func popFirst() -> WorkQueue? {
        guard let queue = first else { return nil }
        first = queue.nextListed.load()
        queue.nextListed.store(nil)
        if first == nil { unsafe last = nil }
        return queue
    }
}
