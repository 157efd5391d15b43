// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Runs work items on a pool of threads, so many at a time, in the order in which they were
/// enqueued.
///
/// - **Once an item's function has started, the queue never touches the item again.** It may end
///   its own life, or enqueue itself.
/// - An item does not run beside itself on one queue. Enqueued while it runs, it runs once more,
///   afterwards. On another queue it may.
/// - Items that block in a wait of Quiesce or of Substrate, or in `withBlocking`, let others run
///   meanwhile.
///
///     let queue = WorkQueue(name: "uploads")
///     let answer = queue.enqueue(item)   // .queued, .alreadyPending, .disabled or .draining
///     try item.close()                   // not running, and never again
///     try queue.close()                  // what is pending has run
///
/// A queue that is let go of runs what is pending before it ends. Kernel counterpart: `struct
/// workqueue_struct`.
public final class WorkQueue: Sendable {
    public let name: String
    public let kind: Kind
    let priority: Priority
    let isCPUIntensive: Bool
    let tracer: (any WorkTracer)?
    let isTraced: Bool
    let pool: WorkerPool
    let timers: WorkTimers
    /// Tells it from every other queue of its world, in the words of items.
    let number: UInt64
    private let queues: WaitClass
    private let generation = World.generation
    /// The next queue in the pool's line, under the pool's lock.
    let nextListed = Unsynchronized<WorkQueue?>(nil)

    // Both locks are taken in this order. An item's homes and the pool come after them, the timers
    // before. Each is on cache lines of its own: threads that enqueue and threads that run should
    // not wait for each other's.
    private let gapBeforeServing = Gap()
    let serving: Mutex<Serving>
    private let gapBeforeIntake = Gap()
    let intake = Mutex(Intake())
    private let gapAfterIntake = Gap()
    let whole = Subject()

    /// How many items run at a time.
    public enum Kind: Sendable, Equatable {
        /// So many. Kernel: `max_active`.
        case concurrent(limit: Int = defaultLimit)
        /// One, whatever is done. Kernel: `alloc_ordered_workqueue`.
        case ordered
    }

    /// How many items of a concurrent queue run at a time, if nothing else is said.
    public static let defaultLimit = 256
    /// How many items of a queue may be let run at a time; more are cut to this.
    public static let maximumLimit = 512

    public enum Priority: Sendable {
        case normal
        /// Served before those that are not. Kernel: `WQ_HIGHPRI`.
        case high
    }

    /// What enqueueing changes.
    struct Intake: ~Copyable {
        var list = WorkList()
        /// The last ticket that was given out. They are given out in order.
        var ticket: UInt64 = 0
        var numbers = Numbers()
        var attendance = Attendance.none
        /// How many are draining the queue.
        var drains = 0
        /// Whether somebody has begun to destroy it.
        var isEnding = false

        var isOpen: Bool { drains == 0 && !isEnding }

        /// Puts something at the end, and says whether a server has to be called.
        @inline(__always)
        mutating func append(_ slot: consuming WorkList.Slot, isBarrier: Bool = false) -> Bool {
            ticket += 1
            list.append(slot, ticket, isBarrier: isBarrier)
            guard attendance == .none else { return false }
            attendance = .called
            return true
        }
    }

    /// Which server will look at what is enqueued next.
    enum Attendance {
        /// Nobody: a server has to be called.
        case none
        /// A server that was called and has not come.
        case called
        /// A server that is at it.
        case present
    }

    /// What running items changes.
    struct Serving: ~Copyable {
        var limit: Int
        /// What is to be run, in order.
        var list = WorkList()
        /// The workers that serve the queue, at most `limit` of them.
        var servers: [Worker] = []
        var awaited: [Awaited] = []
        /// Whether a barrier runs.
        var isBarred = false
    }

    /// Makes a queue on its world's pool.
    ///
    /// - Parameters:
    ///   - isCPUIntensive: whether its items compute for long, so that others should run beside
    ///     them. Kernel: `WQ_CPU_INTENSIVE`.
    ///   - tracer: is told what becomes of the items.
    public init(
        name: String, _ kind: Kind = .concurrent(), priority: Priority = .normal,
        isCPUIntensive: Bool = false,
        tracer: (any WorkTracer)? = nil, file: StaticString = #filePath, line: UInt = #line
    ) {
        let limit: Int
        switch kind {
        case .ordered: limit = 1
        case .concurrent(let wanted):
            precondition(wanted > 0, "a work queue lets at least one item run")
            limit = min(wanted, Self.maximumLimit)
        }
        self.name = name
        self.kind = kind
        self.priority = priority
        self.isCPUIntensive = isCPUIntensive
        self.tracer = tracer
        isTraced = tracer != nil
        pool = WorkerPool.current
        timers = WorkTimers.current
        number = Numbers.Source.current.takeQueueNumber()
        queues = WaitClass(.workQueue, file: file, line: line)
        serving = Mutex(Serving(limit: limit))
        whole.label(name) {
            serving.label(name + ".serving")
            intake.label(name + ".intake")
        }
        nextListed.label(name + ".next")
    }

    /// The class of the items' runs and of the waits for them.
    var waitClass: WaitClass { queues.of(self) }

    // MARK: Enqueueing

    /// Enqueues the item: a worker calls its function after starting those enqueued before it.
    ///
    /// Two locks that are held for a moment, and a wake-up if no worker looks. What the caller did
    /// before happens before the function. Kernel: `queue_work`.
    public func enqueue(_ item: Work) -> Enqueued { admit(item) }

    /// Enqueues `function`: a worker calls it after starting what was enqueued before it.
    ///
    /// For what is never cancelled or waited for by itself; it costs no item.
    ///
    /// - Parameter name: what messages and traces call it.
    /// - Returns: `.queued` or `.draining`.
    public func enqueue(name: String? = nil, _ function: @escaping @Sendable () -> Void) -> Enqueued
    {
        admit(name, isBarrier: false, function)
    }

    /// Enqueues `function` to run alone: after everything that was enqueued before it has ended,
    /// and before anything behind it begins. On an ordered queue each function runs so.
    ///
    /// - Parameter name: what messages and traces call it.
    /// - Returns: `.queued` or `.draining`.
    public func enqueueBarrier(
        name: String? = nil, _ function: @escaping @Sendable () -> Void
    ) -> Enqueued {
        admit(name, isBarrier: true, function)
    }

    @inline(__always)
    private func admit(
        _ name: String?, isBarrier: Bool, _ function: @escaping @Sendable () -> Void
    ) -> Enqueued {
        if isTraced || name != nil {
            return admit(
                Work(name: name ?? Self.unnamed, on: self, at: waitClass.site, function),
                isBarrier: isBarrier)
        }
        checkGeneration()
        return whole.write("enqueue on") {
            var calls = false
            let answer: Enqueued = intake.withLock { intake in
                guard admits(&intake, isArmed: false) else { return .draining }
                calls = intake.append(.function(function), isBarrier: isBarrier)
                return .queued
            }
            call(calls)
            tell(answer, Self.unnamed)
            return answer
        }
    }

    /// What a function of no item is called.
    static let unnamed = "a function"

    /// Enqueues the item after `delay`; at once when that is 0. It is pending
    /// meanwhile.
    ///
    /// An item whose timer fires while the queue is being drained still runs. A queue that is being
    /// destroyed lets no timer be armed, not even by its own items. Kernel: `queue_delayed_work`.
    public func enqueue(_ item: DelayedWork, after delay: Duration = .zero) -> Enqueued {
        admit(item, after: delay)
    }

    /// Enqueues the item with `reference`, at once or after `delay`. The reference
    /// is given back in the answer unless the item was queued.
    public func enqueue<Object>(
        _ item: ObjectWork<Object>, _ reference: consuming Reference<Object>,
        after delay: Duration = .zero
    ) -> EnqueuedObject<Object> {
        let bits = reference.bits()
        let answer = admit(item, bits, after: delay)
        return EnqueuedObject(answer, answer == .queued ? nil : Reference(bits: bits))
    }

    /// Enqueues the item after `delay` from now, whether it was pending or not.
    /// Kernel: `mod_delayed_work`.
    ///
    /// A timer that runs gets the new delay. An item that waits for its turn is cancelled and
    /// enqueued anew, and is not pending in between.
    ///
    /// - Returns: `.alreadyPending` when it was pending, and now has the new delay; else what
    ///   `enqueue` would have answered. A queue that does not admit it leaves it as it was; one
    ///   that has begun to refuse only in that moment, not pending.
    public func reschedule(_ item: DelayedWork, after delay: Duration) -> Enqueued {
        checkGeneration()
        let isAdmitted: Bool = whole.read("look at") {
            intake.withLock { admits(&$0, isArmed: delay > .zero) }
        }
        guard isAdmitted else { return .draining }
        var wasPending = false
        while true {
            if timers.rearm(item, on: self, after: delay) { return .alreadyPending }
            if item.cancel() { wasPending = true }
            let answer = enqueue(item, after: delay)
            // Somebody else was quicker.
            if answer == .alreadyPending { continue }
            return answer == .queued && wasPending ? .alreadyPending : answer
        }
    }

    /// Whether the caller may enqueue an item, or arm its timer. What the queue's own items enqueue
    /// is waited for; a timer that they arm would outlive the queue.
    private func admits(_ intake: inout Intake, isArmed: Bool) -> Bool {
        intake.isOpen || runsCaller && !(isArmed && intake.isEnding)
    }

    private func admit(_ item: WorkItem, _ payload: UInt = 0, after delay: Duration) -> Enqueued {
        delay > .zero ? timers.arm(item, payload, on: self, after: delay) : admit(item, payload)
    }

    private func admit(
        _ item: WorkItem, _ payload: UInt = 0, isBarrier: Bool = false
    ) -> Enqueued {
        checkGeneration()
        var hasMoved = false
        var event: WorkEvent?
        let answer = whole.write("enqueue on") {
            var calls = false
            let answer: Enqueued = intake.withLock { intake in
                let answer = claim(item, payload, &intake, isArmed: false, &hasMoved)
                guard answer == .queued else { return answer }
                calls = accept(item, &intake, isBarrier: isBarrier)
                if isTraced { event = self.event(item.id.load(), item.name, intake.ticket) }
                return .queued
            }
            call(calls)
            tell(answer, item.name)
            return answer
        }
        item.wasAnswered(answer, hasMoved: hasMoved)
        if let event { tracer?.queued(event) }
        return answer
    }

    /// Something was enqueued, for which a server has to be called or not.
    @inline(__always)
    func call(_ calls: Bool) {
        if calls {
            pool.list(self)
            if timers.isShort { timers.tryAgain() }
        } else if pool.isShort {
            pool.tryAgain()
        }
    }

    /// Tries again to start the threads that the system refused, before a wait for what they do.
    func retryThreads() {
        if pool.isShort { pool.tryAgain() }
        if timers.isShort { timers.tryAgain() }
    }

    /// Makes the item pending here, unless the queue or the item refuses. The queue keeps it from
    /// here on.
    func claim(
        _ item: WorkItem, _ payload: UInt, _ intake: inout Intake, isArmed: Bool,
        _ hasMoved: inout Bool
    ) -> Enqueued {
        guard admits(&intake, isArmed: isArmed) else { return .draining }
        let answer = item.claim(for: self, &intake.numbers, isArmed: isArmed, &hasMoved)
        guard answer == .queued else { return answer }
        // Else its first move gave it one.
        if item.id.load() == 0 { item.id.store(intake.numbers.next()) }
        item.payload.store(payload)
        unsafe _ = Unmanaged.passRetained(item)
        return .queued
    }

    /// Tells the trace of an exploration what was enqueued.
    @inline(__always)
    func tell(_ answer: Enqueued, _ item: @autoclosure () -> String, isArmed: Bool = false) {
        Subject.does(
            "\(isArmed ? "arm" : "enqueue") \(item()) on \(name)"
                + (answer == .queued ? "" : " → .\(answer)"))
    }

    /// What the tracer is told.
    func event(_ id: UInt64, _ name: String, _ ticket: UInt64) -> WorkEvent {
        WorkEvent(item: WorkID(number: id), name: name, queue: self.name, ticket: ticket)
    }

    /// Puts a pending item at the end, and says whether a server has to be called.
    func accept(
        _ item: WorkItem, _ intake: inout Intake, isBarrier: Bool = false
    ) -> Bool {
        let calls = unsafe intake.append(
            .item(Unmanaged.passUnretained(item)), isBarrier: isBarrier)
        item.ticket.store(intake.ticket)
        return calls
    }

    /// In a forked child the parent's threads do not exist, and the holder of a lock may be one
    /// of them.
    @inline(__always)
    func checkGeneration() {
        guard isOfThisProcess else { isOfBeforeFork() }
    }

    /// Whether it was made after the last fork.
    var isOfThisProcess: Bool { generation == World.generation }

    @inline(never)
    private func isOfBeforeFork() -> Never {
        fatalError(
            "the queue \(name) was made before the fork, and has no workers here; make another")
    }

    /// Whether the caller is an item of this queue.
    var runsCaller: Bool { Worker.running?.queue === self }

    // MARK: Changing

    /// How many items run at a time.
    public var limit: Int {
        checkGeneration()
        return whole.read("look at") { serving.withLock { $0.limit } }
    }

    /// Lets so many items run at a time, at most `maximumLimit`. An ordered queue stays one.
    /// Kernel: `workqueue_set_max_active`.
    public func setLimit(_ limit: Int, file: StaticString = #filePath, line: UInt = #line) {
        checkGeneration()
        precondition(limit > 0, "a work queue lets at least one item run")
        guard kind != .ordered else { return Misuse.report(.limitOfOrdered, file, line) }
        whole.write("limit") {
            let calls = serving.withLock { serving in
                serving.limit = min(limit, Self.maximumLimit)
                return intake.withLock { attend(&serving, &$0) }
            }
            if calls { pool.list(self) }
        }
    }
}

extension WorkQueue: CustomStringConvertible {
    public var description: String { name }
}

/// Two cache lines, since processors fetch them in pairs, between what different threads change.
struct Gap: Sendable {
    private let words = InlineArray<16, UInt64>(repeating: 0)
}
