// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What a step of an execution is. One operation can be several: a condition's wait releases, then
/// acquires again.
enum StepKind: UInt8 {
    case load, store, update, compareExchange, fence
    case bufferedStore, flush, membarrier
    case lock, tryLock, unlock
    case readLock, tryReadLock, readUnlock
    /// A writer arrives at a lock that is held: from now on readers wait behind it.
    case writeRequest
    /// A writer that arrived before, or one that finds the lock free, acquires.
    case writeLock, tryWriteLock, writeUnlock
    case wait, timeout, reacquire, signal, broadcast
    case park, unpark, wake
    case join, arm, fire, readClock
    /// Nobody can run, and time passes up to the next deadline.
    case tick
    case allocate, free, touch, mark
    case resume
    /// A thread starts another; a thread asks which there are. Steps only where somebody asks.
    case spawn, census
    /// An operation of a primitive, as a whole, or what of it lies between two waits.
    case operation
    /// A thread waits for a lock of the runtime's: that of a task's records, say, whose
    /// cancellation handlers run.
    case records
    /// A thread is about to cancel a task.
    case cancel
    /// A task goes to the queue of an actor.
    case arrive
    /// An operation of an object that brings its own state machine.
    case machine
    /// A thread gives up a reference, asks whether there is one only, or loads a weak or an unowned
    /// one.
    case release, askReferences, loadReference
    /// A job of a task begins: the task starts, or goes on after an `await`.
    case job

    var isOfReferences: Bool {
        switch self {
        case .release, .askReferences, .loadReference: true
        default: false
        }
    }

    /// The step that an atomic operation is where it takes effect at once.
    @inline(__always)
    init(atomic kind: OperationKind) {
        switch kind {
        case .load: self = .load
        case .readModifyWrite: self = .update
        case .compareExchange: self = .compareExchange
        default: self = .store
        }
    }

    /// Whether the step has to wait until its thread's store buffer is empty.
    var drains: Bool {
        switch self {
        case .load, .bufferedStore, .flush, .touch, .readClock, .mark, .resume, .join, .census,
            .job, .records, .cancel,
            .arrive,
            .tick, .allocate, .askReferences:
            false
        default: true
        }
    }
}

/// One step of an execution, as the reduction sees it.
struct Event: BitwiseCopyable {
    /// What the thread was about to do.
    var step: Step
    /// What that turned out to be: a wait can end in two ways.
    var kind: StepKind
    var traits: Traits = []
    /// The waiter that a signal woke, when it had a choice; else -1.
    var choice: Int32 = -1
    var footprint = Footprint()
    /// Events that come before this one other than by conflict: the same thread's last (or, for its
    /// first, what its starter did last), and what enabled it. -1 for none.
    var previous: Int32 = -1
    var enabler: Int32 = -1
    /// A second event that enables this one: the end of what held a serial executor before, or time
    /// that has passed.
    var cause: Int32 = -1
    /// The event that this one closes (a flush: its store; a firing: its arming; the end of a read:
    /// its beginning), and the reverse.
    var opener: Int32 = -1
    var closer: Int32 = -1
    /// Where a spinning thread goes on: the first event of the round that found that it must wait.
    var round: Int32 = -1
    /// The bits that an atomic step or a parking wait found.
    var old = Bits()
    /// The deadline of the task's timer that the step armed on its way to the next, 0 for none.
    var arms: UInt64 = 0

    @inline(__always)
    var thread: Int32 { step.thread }

    /// What can be said of a step with yes or no.
    struct Traits: OptionSet {
        let rawValue: UInt16

        /// An atomic step left the value as it was: it wakes no thread that spins on it. A release
        /// was not the last.
        static let silent = Traits(rawValue: 1)
        /// A lock step acquired.
        static let acquires = Traits(rawValue: 2)
        /// The thread waits from here on.
        static let waits = Traits(rawValue: 4)
        /// Something was added once the step had happened.
        static let amended = Traits(rawValue: 8)
        /// What the step touches at another place cannot be told.
        static let vague = Traits(rawValue: 16)
        /// The step may touch more at another place: other things than those that it conflicts on.
        static let mayGrow = Traits(rawValue: 32)
        /// The step may be the second of a race: it is known of the others that nothing that they
        /// conflict with is unordered but for that.
        static let races = Traits(rawValue: 64)

        @inline(__always)
        mutating func set(_ trait: Traits, _ holds: Bool) {
            if holds { insert(trait) } else { remove(trait) }
        }
    }

    /// Whether the step lets a thread go on that spins on `object`, having read `spinReads`. The
    /// end of a read does so where the thread has tried to write.
    func wakes(_ object: Int32, _ spinReads: Footprint) -> Bool {
        !traits.contains(.silent)
            && (footprint.writes(to: object)
                || kind == .readUnlock && footprint.contains(object)
                    && spinReads.writes(to: object))
    }

    @inline(__always)
    init(_ step: Step) {
        self.step = step
        kind = step.kind
    }

    init(thread: Int32, kind: StepKind) { self.init(Step(thread: thread, kind: kind)) }
}
