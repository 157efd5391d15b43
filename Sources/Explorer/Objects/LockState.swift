// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A mutex or a reader-writer lock, as a state machine.
///
/// A mutex has no readers. A reader-writer lock has a writer, or readers, or neither; a writer that
/// arrives while it is held requests it first, and from then on readers that come later wait.
struct LockState: BitwiseCopyable, Hashable {
    /// The thread that holds the lock alone, and the event with which it acquired; -1 for none.
    var owner: Int32 = -1
    var acquired: Int32 = -1
    /// How many threads read, and how many writers have requested the lock and wait.
    var readers: Int32 = 0
    var requests: Int32 = 0

    var isHeld: Bool { owner >= 0 }

    /// Whether a step of this kind can be taken now.
    @inline(__always)
    func allows(_ kind: StepKind, prefersReaders: Bool) -> Bool {
        switch kind {
        case .lock, .reacquire: owner < 0
        case .readLock: owner < 0 && (prefersReaders || requests == 0)
        case .writeLock: owner < 0 && readers == 0
        default: true
        }
    }

    /// What came of a step.
    struct Outcome {
        /// Whether the thread holds the lock afterwards.
        var acquires = false
        /// Whether the step conflicts with others that only read: readers of a lock commute,
        /// although they are counted.
        var writes = true
    }

    /// Takes a step of `thread`, as the event at `position`.
    mutating func apply(
        _ kind: StepKind, by thread: Int32, prefersReaders: Bool, at position: Int32
    ) -> Outcome {
        switch kind {
        case .lock, .reacquire:
            hold(thread, position)
            return Outcome(acquires: true)
        case .tryLock:
            // A try that fails reads.
            guard owner < 0 else { return Outcome(writes: false) }
            hold(thread, position)
            return Outcome(acquires: true)
        case .unlock, .wait, .writeUnlock:
            free()
            return Outcome()
        case .readLock:
            readers += 1
            return Outcome(acquires: true, writes: false)
        case .tryReadLock:
            guard allows(.readLock, prefersReaders: prefersReaders) else {
                return Outcome(writes: false)
            }
            readers += 1
            return Outcome(acquires: true, writes: false)
        case .readUnlock:
            readers -= 1
            return Outcome(writes: false)
        case .writeRequest:
            if owner >= 0 || readers > 0 {
                requests += 1
                return Outcome()
            }
            hold(thread, position)
            return Outcome(acquires: true)
        case .writeLock:
            // One that prefers readers never requested.
            if !prefersReaders { requests -= 1 }
            hold(thread, position)
            return Outcome(acquires: true)
        case .tryWriteLock:
            // A write even when it fails: readers, which only read, decide it.
            guard owner < 0, readers == 0 else { return Outcome() }
            hold(thread, position)
            return Outcome(acquires: true)
        default:
            return Outcome(writes: false)
        }
    }

    @inline(__always)
    mutating func hold(_ thread: Int32, _ position: Int32) {
        owner = thread
        acquired = position
    }

    /// Nobody holds it alone any more.
    @inline(__always)
    mutating func free() {
        owner = -1
        acquired = -1
    }
}

extension LockState {
    @inline(__always)
    init(bits: Bits) { self = unsafe unsafeBitCast(bits, to: LockState.self) }

    @inline(__always)
    var bits: Bits { unsafe unsafeBitCast(self, to: Bits.self) }
}
