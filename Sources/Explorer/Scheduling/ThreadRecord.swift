// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What the scheduler knows of a thread of the exploration.
struct ThreadRecord: BitwiseCopyable {
    enum State: UInt8 {
        case unused
        /// Waits to take its next step, which may not be possible yet.
        case parked
        /// As above; a thread that is not explored holds the lock that it is to take.
        case keptOut
        /// A task that waits for something other than a step: for a queue to serve it, for somebody
        /// to resume it.
        case suspended
        case finished
        /// Trapped, or given up.
        case dead
    }

    // What every step reads and writes comes first: it is one line of the cache.
    var state = State.unused
    // The step that it waits for.
    var kind = StepKind.resume
    var order = MemoryOrder.relaxed
    var failureOrder = MemoryOrder.relaxed
    /// Whether it has made an asymmetric store: from then on its weaker stores wait behind one
    /// another.
    var isAsymmetric = false
    var isTask = false
    /// Whether this stands for another thread's store buffer: its steps are flushes.
    var isBuffer = false
    /// Waiting: has somebody woken it, or did its deadline pass?
    var isWoken = false
    var object: Int32 = -1
    var other: Int32 = -1
    /// Its last event, and the event that enables its next.
    var last: Int32 = -1
    var enabler: Int32 = -1
    /// While it runs to its first step: the thread that spawned it and waits.
    var starter: Int32 = -1
    /// How many operations it is inside of that are steps.
    var operations: Int32 = 0
    /// Stores that have not been flushed.
    var buffered: Int32 = 0
    /// Which of this execution's threads it is, in the order of their starts.
    var spawnIndex: Int32 = 0
    /// Before its first event: the last one of the thread that started it.
    var origin: Int32 = -1
    var expected = Bits()

    // The tree of threads and what each runs on last as long as the exploration; the rest, as long
    // as the execution.
    var parent: Int32
    var firstChild: Int32 = -1
    var nextSibling: Int32 = -1
    /// The thread that stands for this one's store buffer, or the one whose buffer this stands for.
    var bufferLink: Int32 = -1
    /// What it runs on. A task has a fiber only while one carries its job.
    var fiber: Fiber?
    var body = ThreadBody()

    init(parent: Int32) { self.parent = parent }

    /// Forgets all that belongs to an execution.
    mutating func restart() {
        var fresh = ThreadRecord(parent: parent)
        fresh.firstChild = firstChild
        fresh.nextSibling = nextSibling
        fresh.bufferLink = bufferLink
        fresh.isBuffer = isBuffer
        fresh.fiber = isTask ? nil : fiber
        fresh.body = body
        self = fresh
    }

    /// Forgets the task that has ended; what comes is another one, after it.
    mutating func startAgain() {
        let former = self
        restart()
        lastStarted = former.lastStarted
        children = former.children
        spawnIndex = former.spawnIndex
        last = former.last
        lastFlush = former.lastFlush
    }

    /// The last of its children that was started, and how many there are.
    var lastStarted: Int32 = -1
    var children: Int32 = 0
    /// Of a task: whether what started it comes after all that it did, so that another may take
    /// its number; a timer does nothing.
    var mayMakeRoom = false

    /// Whether its atomic operations are steps of their own that take effect at once.
    @inline(__always)
    var isPlain: Bool { operations == 0 && !isAsymmetric }

    var isService = false
    /// Whether it waits for somebody to serve.
    var isIdle = false

    /// Whether its waiting for ever is neither a deadlock nor a leak.
    @inline(__always)
    var mayWaitForEver: Bool { isService || isIdle }

    // A task. Its job is what the runtime runs next of it.
    var job: UInt = 0
    var standing = Standing.running
    var place = Place.pool
    /// The object that stands for the task, and the executor other than the pool to which it was
    /// sent last.
    var taskObject: Int32 = -1
    var executor: UInt = 0
    /// The executor other than the pool that its job runs on.
    var home: UInt = 0
    var isCancelled = false
    /// Whether it has started or resumed a task since its last step.
    var hasEnabled = false
    /// Whether the job is no task's: it runs once.
    var isOneShot = false
    /// Whether its first job has begun.
    var hasBegun = false
    /// Whether it has taken a step since its job began.
    var hasStepped = false
    /// The thread that stands for the timer of the task's sleep, -1 for none.
    var timer: Int32 = -1
    /// The last event of the thread that held the task's executor before it.
    var cause: Int32 = -1

    enum Standing: UInt8 {
        case running
        /// Its job is ready to run.
        case ready
        /// In the queue of a default actor, which serves one after the other.
        case inActorQueue
        case suspended, completed
    }

    /// Where a job runs.
    enum Place: UInt8 {
        case pool, main, actor
    }

    /// Whether picking it means to run a job from its beginning.
    @inline(__always)
    var isFresh: Bool { isTask && standing == .ready && place != .actor }

    var deadline: UInt64 = 0
    /// Where the operation is that it performs or waits in, if it is one of Substrate's that is
    /// watched.
    var site: Site?
    var prefersReaders = false
    /// Whether the deadline of its wait has passed.
    var isTimedOut = false
    /// The event that armed its timer, -1 while none is armed.
    var armed: Int32 = -1
    /// The last flush of its stores.
    var lastFlush: Int32 = -1
    var isSpinning = false
    /// The first event of its present round.
    var round: Int32 = -1
    /// How many operations it is inside of.
    var declarations: Int32 = 0
    /// Whether the step that they are has begun.
    var isInOperation = false

    /// The step that the thread, which is number `thread`, waits for.
    @inline(__always)
    func step(of thread: Int32) -> Step {
        Step(
            thread: thread, kind: kind, prefersReaders: prefersReaders, object: object,
            other: other,
            expected: expected,
            deadline: deadline)
    }

    /// What comes after the thread's end, or what it starts, comes after this event.
    @inline(__always)
    var handsOn: Int32 { last >= 0 ? last : origin }

    /// Says which atomic operation comes next.
    @inline(__always)
    mutating func announce(
        _ kind: StepKind, _ object: Int32, _ access: AtomicAccess, _ operand: Bits
    ) {
        self.kind = kind
        self.object = object
        other = -1
        order = access.order
        failureOrder = access.failureOrder
        expected = operand
    }

    /// Takes the step at `position`, whose event is known.
    @inline(__always)
    mutating func repeatStep(at position: Int32) {
        enabler = -1
        cause = -1
        hasEnabled = false
        hasStepped = true
        last = position
    }

    /// Takes the step at `position`, and fills in what its event comes after.
    @inline(__always)
    mutating func take(_ event: inout Event, at position: Int32) {
        event.previous = handsOn
        event.enabler = enabler
        event.cause = cause
        cause = -1
        hasEnabled = false
        hasStepped = true
        if enabler < 0, lastFlush >= 0, event.kind.drains { event.enabler = lastFlush }
        enabler = -1
        last = position
    }
}
