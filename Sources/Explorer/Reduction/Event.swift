// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What a step of an execution is. One operation can be several: a condition's wait releases, then acquires again.
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
    case free, touch, mark
    case resume
    /// A thread starts another; a thread asks which there are. Steps only where somebody asks.
    case spawn, census
    /// An operation of a primitive, as a whole, or what of it lies between two waits.
    case operation
    /// A thread waits to do something to a task whose cancellation handlers run.
    case records
    /// A task goes to the queue of an actor.
    case arrive
    /// A job of a task begins: the task starts, or goes on after an `await`.
    case job

    /// Whether the step has to wait until its thread's store buffer is empty.
    var drains: Bool {
        switch self {
        case .load, .bufferedStore, .flush, .touch, .readClock, .mark, .resume, .join, .census, .job, .records, .arrive:
            false
        default: true
        }
    }
}

/// One step of an execution, as the reduction sees it.
struct Event: BitwiseCopyable {
    var thread: Int32
    var kind: StepKind
    /// Whether the step depends on the value it finds: a compare-exchange or a try.
    var isConditional = false
    /// Whether an atomic step left the value as it was: it wakes nobody who spins on it.
    var isSilent = false
    /// Whether a lock step acquired.
    var acquires = false
    /// Whether `old` and `expected` hold a compare-exchange's bits.
    var comparesBits = false
    /// The waiter that a signal woke, when it had a choice; else -1.
    var choice: Int32 = -1
    var footprint = Footprint()
    /// Events that come before this one other than by conflict: the same thread's last, and whoever enabled it. -1 for none.
    var previous: Int32 = -1
    var enabler: Int32 = -1
    /// A second event that enables this one: the end of what held a serial executor before.
    var cause: Int32 = -1
    /// The event that opened the window which this one closes (unlock: its lock), and the reverse.
    var opener: Int32 = -1
    var closer: Int32 = -1
    /// Where this event's access records begin.
    var accesses: Int32 = 0
    /// The bits found, and for a compare-exchange those expected. For a condition's event `old.low` is the set of waiters before it.
    var old = Bits()
    var expected = Bits()
    /// When the timer that was armed or fired ends.
    var deadline: UInt64 = 0
    /// The deadline of the timer that the step armed on its way to the next, 0 for none.
    var arms: UInt64 = 0
    /// Whether something was added once the step had happened.
    var isAmended = false

    init(thread: Int32, kind: StepKind) {
        self.thread = thread
        self.kind = kind
    }
}
