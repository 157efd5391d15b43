// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

/// The word of a lock that an exploration takes for its threads.
///
/// An exploration keeps its own threads apart by its model of the lock. Every other thread meets
/// the word, which the exploration holds while one of its threads is inside. No operation here
/// blocks for longer than its deadline.
package struct SharedLock {
    package enum Mode: Sendable {
        case mutex, reader, writer
    }

    private let mode: Mode
    private let address: UInt
    /// What the exploration writes into words.
    private let token: UInt32

    package init(_ mode: Mode, at address: UInt, as token: UInt32) {
        (self.mode, self.address, self.token) = (mode, address, token)
    }

    /// What an exploration that the calling thread runs writes into words. No thread that takes
    /// locks by itself has this token.
    package static func token() -> UInt32 { LockWord.token() | LockWord.explored }

    /// Takes the lock if it is free, or is this exploration's already: it was moved while it was
    /// held. Once the exploration `hasSlept`, others may sleep behind it.
    package func take(hasSlept: Bool = false) -> Bool {
        switch mode {
        case .mutex:
            let word = unsafe word
            let found = unsafe word.pointee.load(ordering: .relaxed)
            if found == 0 {
                let desired = hasSlept ? token | LockWord.contended : token
                return unsafe word.pointee.compareExchange(
                    expected: 0, desired: desired, ordering: .acquiring
                ).exchanged
            }
            return found & ~LockWord.contended == token
        case .reader: return unwatched { unsafe words.pointee.tryTakeRead() }
        case .writer: return unwatched { unsafe words.pointee.tryTakeWrite(by: token) }
        }
    }

    /// Announces a writer: readers that come wait behind it, and cannot keep it out for ever.
    package func announce() {
        if case .writer = mode { unwatched { unsafe words.pointee.announceWrite() } }
    }

    /// As `take`, after `announce`. Looks at a reader-writer lock for a while: it may be free for
    /// moments only, and nobody wakes this thread.
    package func takeAnnounced() -> Bool {
        if case .mutex = mode { return take(hasSlept: true) }
        return unwatched {
            for _ in 0..<1000 {
                let isTaken =
                    if case .writer = mode {
                        unsafe words.pointee.takeAnnouncedWrite(by: token)
                    } else {
                        unsafe words.pointee.tryTakeRead()
                    }
                if isTaken { return true }
                quiesce_pause()
            }
            return false
        }
    }

    /// Undoes `announce`.
    package func withdraw() {
        if case .writer = mode { unwatched { unsafe words.pointee.withdrawWrite() } }
    }

    /// Whether `take` would take it.
    package var isFree: Bool {
        switch mode {
        case .mutex:
            let found = unsafe word.pointee.load(ordering: .relaxed)
            return found == 0 || found & ~LockWord.contended == token
        case .reader: return unsafe !words.pointee.keepsReadersOut(state)
        case .writer: return state & (RWLockState.writing | RWLockState.inside) == 0
        }
    }

    /// How a lock was given back.
    package enum Release: Sendable {
        case free
        /// A thread outside may have waited for it, and was woken.
        case woken
        /// The exploration did not hold it.
        case notHeld
    }

    /// Gives the lock back, and wakes its waiters.
    package func giveBack() -> Release {
        switch mode {
        case .mutex:
            let word = unsafe word
            guard unsafe word.pointee.load(ordering: .relaxed) & ~LockWord.contended == token
            else { return .notHeld }
            let found = unsafe word.pointee.exchange(0, ordering: .releasing)
            guard found & LockWord.contended != 0 else { return .free }
            unsafe quiesce_futex_wake(word, 1)
            return .woken
        case .reader, .writer:
            let isAwaited = isAwaited
            unwatched {
                if case .reader = mode {
                    unsafe words.pointee.giveReadBack()
                } else {
                    unsafe words.pointee.giveWriteBack()
                }
            }
            return isAwaited ? .woken : .free
        }
    }

    /// Sleeps until the lock may be free, at most for `nanoseconds`.
    package func sleep(nanoseconds: UInt64) {
        let now = quiesce_monotonic_nanoseconds()
        // Nobody wakes this thread from a reader-writer lock, so it looks often.
        guard case .mutex = mode else { return quiesce_sleep_until(now + nanoseconds / 100) }
        let word = unsafe word
        let found = unsafe word.pointee.load(ordering: .relaxed)
        guard found != 0 else { return }
        let marked = found | LockWord.contended
        guard
            unsafe found == marked
                || word.pointee.compareExchange(
                    expected: found, desired: marked, ordering: .relaxed
                ).exchanged
        else { return }
        _ = unsafe quiesce_futex_wait(word, marked, now + nanoseconds)
    }

    /// Whether a thread outside waits for the lock.
    package var isAwaited: Bool {
        guard case .mutex = mode else {
            return state & (RWLockState.readersSleep | RWLockState.writersWait) != 0
        }
        return unsafe word.pointee.load(ordering: .relaxed) & LockWord.contended != 0
    }

    /// The holder of the lock, in words.
    package var holder: String {
        let unknown = "a thread outside the exploration"
        let found: UInt32
        if case .mutex = mode {
            found = unsafe word.pointee.load(ordering: .relaxed) & ~LockWord.contended
        } else {
            let state = state
            // Readers are counted, and not known.
            guard state & RWLockState.writing != 0 else { return unknown }
            found = UInt32(state & RWLockState.inside)
        }
        let number = found & ~LockWord.explored
        guard number != 0 else { return unknown }
        let name = World.nameInProcess(ofThread: number)
        return found & LockWord.explored != 0
            ? "another exploration, on thread \(name)," : "thread \(name), which is not explored,"
    }

    /// Whether there is still memory where the lock is.
    package var isThere: Bool {
        unsafe quiesce_is_readable(UnsafeRawPointer(bitPattern: address)!)
    }

    private var word: UnsafePointer<Synchronization.Atomic<UInt32>> {
        unsafe UnsafePointer(bitPattern: address)!
    }

    // The state that gives a reader-writer lock its address is the first of its words.
    private var words: UnsafePointer<RWLockWords> { unsafe UnsafePointer(bitPattern: address)! }

    private var state: UInt64 { unsafe words.pointee.state.raw.load(ordering: .relaxed) }

    /// Runs `body` as an operation of the exploration, which nobody watches.
    private func unwatched<Result>(_ body: () -> Result) -> Result {
        let block = unsafe quiesce_current_block()
        let (observer, id, blocking) = unsafe (
            block.pointee.observer, block.pointee.id, block.pointee.blocking
        )
        unsafe (block.pointee.observer, block.pointee.id, block.pointee.blocking) = (
            nil, token, nil
        )
        defer {
            unsafe (block.pointee.observer, block.pointee.id, block.pointee.blocking) = (
                observer, id, blocking
            )
        }
        return body()
    }
}
