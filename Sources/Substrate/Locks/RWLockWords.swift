// SPDX-License-Identifier: Apache-2.0

public import CSubstrate
import Synchronization

/// The state of a reader-writer lock, as one word.
///
/// Bits 0 to 30 count the readers inside; while a writer is inside they hold its thread's number.
@usableFromInline
enum RWLockState {
    @usableFromInline static var inside: UInt64 { @inlinable get { (1 << 31) - 1 } }
    /// A writer is inside.
    @usableFromInline static var writing: UInt64 { @inlinable get { 1 << 31 } }
    /// Readers sleep until something that keeps them out is over.
    static var readersSleep: UInt64 { 1 << 32 }
    /// One writer that waits. The bits from here on count those.
    static var oneWriter: UInt64 { 1 << 33 }
    @usableFromInline static var writersWait: UInt64 { @inlinable get { ~0 << 33 } }
}

/// A reader-writer lock apart from the value that it protects. It is the same for all types of
/// values, so its slow paths need not know them.
///
/// The algorithm consists of Substrate's own operations, so that it can itself be explored:
/// `takeRead`, `giveReadBack` and the others below are what a checker runs. The fast paths are the
/// same first step on the processor, inlined at the call.
@frozen
@usableFromInline
struct RWLockWords: ~Copyable {
    /// See `RWLockState`. The lock's address is that of this word.
    @usableFromInline let state = Atomic<UInt64>(0)
    private let prefersReaders: Bool
    /// The words count wake-ups.
    let sleepingReaders = WaitPoint()
    let sleepingWriters = WaitPoint()
    @usableFromInline let lockClass: LockClass

    /// How often a thread looks for the end of its wait before it sleeps.
    private static let patience = 64

    @usableFromInline
    init(_ lockClass: LockClass, prefersReaders: Bool) {
        self.lockClass = lockClass
        self.prefersReaders = prefersReaders
    }

    /// Whether a reader stays out in the state `found`.
    ///
    /// The preference lies beside the state, for which processors contend: it is looked up only
    /// where a writer waits.
    borrowing func keepsReadersOut(_ found: UInt64) -> Bool {
        found & RWLockState.writing != 0 || found & RWLockState.writersWait != 0 && !prefersReaders
    }

    @usableFromInline
    var address: UInt { @inlinable get { state.address } }

    // MARK: What the lock calls

    @inlinable
    @inline(__always)
    borrowing func acquireRead(_ site: Site) {
        if _fastPath(Watch.isUnwatched) {
            let found = state.raw.load(ordering: .relaxed)
            if _fastPath(
                found & (RWLockState.writing | RWLockState.writersWait) == 0
                    && state.raw.weakCompareExchange(
                        expected: found, desired: found &+ 1, ordering: .acquiring
                    ).exchanged)
            {
                return
            }
        }
        acquireReadSlow(site)
    }

    @inlinable
    @inline(__always)
    borrowing func releaseRead(_ site: Site) {
        guard _fastPath(Watch.isUnwatched) else { return releaseReadSlow(site) }
        let left = state.raw.wrappingSubtract(1, ordering: .releasing).newValue
        if _slowPath(left & RWLockState.inside == 0 && left & RWLockState.writersWait != 0) {
            wakeWriter()
        }
    }

    @inlinable
    @inline(__always)
    borrowing func acquireWrite(_ site: Site) {
        let token = unsafe quiesce_current_block().pointee.token
        if _fastPath(
            token != 0
                && state.raw.compareExchange(
                    expected: 0, desired: RWLockState.writing | UInt64(token), ordering: .acquiring
                ).exchanged)
        {
            return
        }
        acquireWriteSlow(site)
    }

    @inlinable
    @inline(__always)
    borrowing func releaseWrite(_ site: Site) {
        let token = unsafe quiesce_current_block().pointee.token
        if _fastPath(
            token != 0
                && state.raw.compareExchange(
                    expected: RWLockState.writing | UInt64(token), desired: 0, ordering: .releasing
                ).exchanged)
        {
            return
        }
        releaseWriteSlow(site)
    }

    @usableFromInline
    borrowing func tryAcquireRead(_ site: Site) -> Bool {
        guard Watch.isUnwatched else { return watched(.tryReadLock, .acquiring, site) }
        return tryTakeRead()
    }

    @usableFromInline
    borrowing func tryAcquireWrite(_ site: Site) -> Bool {
        guard Watch.isUnwatched else { return watched(.tryWriteLock, .acquiring, site) }
        return tryTakeWrite(by: LockWord.token())
    }

    @usableFromInline
    @inline(never)
    borrowing func acquireReadSlow(_ site: Site) {
        if Watch.isUnwatched { takeRead() } else { _ = watched(.readLock, .acquiring, site) }
    }

    @usableFromInline
    @inline(never)
    borrowing func releaseReadSlow(_ site: Site) { _ = watched(.readUnlock, .releasing, site) }

    @usableFromInline
    @inline(never)
    borrowing func acquireWriteSlow(_ site: Site) {
        if Watch.isUnwatched {
            takeWrite(by: LockWord.token())
        } else {
            _ = watched(.writeLock, .acquiring, site)
        }
    }

    @usableFromInline
    @inline(never)
    borrowing func releaseWriteSlow(_ site: Site) {
        if Watch.isUnwatched {
            giveWriteBack()
        } else {
            _ = watched(.writeUnlock, .releasing, site)
        }
    }

    /// Asks the observer for the operation, or performs it between two calls of the listener.
    private borrowing func watched(
        _ kind: OperationKind, _ order: MemoryOrder, _ site: Site
    ) -> Bool {
        if let observer = Watch.observer {
            var operation = Operation(kind, address, order, site: site)
            operation.prefersReaders = prefersReaders
            return observer.perform(operation)
        }
        // The thread takes up its listener when it registers.
        let token = LockWord.token()
        return PassiveListener.told(kind, at: address, of: lockClass, site) {
            switch kind {
            case .readLock: takeRead()
            case .tryReadLock: return tryTakeRead()
            case .readUnlock: giveReadBack()
            case .writeLock: takeWrite(by: token)
            case .tryWriteLock: return tryTakeWrite(by: token)
            case .writeUnlock: giveWriteBack()
            default: fatalError("a reader-writer lock has no operation of the kind \(kind)")
            }
            return true
        }
    }

    // MARK: Reading

    borrowing func takeRead() {
        while !tryTakeRead() { waitToRead() }
    }

    borrowing func tryTakeRead() -> Bool {
        var found = state.load(ordering: .relaxed)
        while !keepsReadersOut(found) {
            let (isIn, now) = state.weakCompareExchange(
                expected: found, desired: found + 1, successOrdering: .acquiring,
                failureOrdering: .relaxed)
            if isIn { return true }
            found = now
        }
        return false
    }

    borrowing func giveReadBack() {
        let left = state.wrappingSubtract(1, ordering: .releasing).newValue
        if left & RWLockState.inside == 0 && left & RWLockState.writersWait != 0 { wakeWriter() }
    }

    /// Sleeps while something keeps a reader out. May return early.
    private borrowing func waitToRead() {
        // Before the state is looked at: a wake-up that follows changes it.
        let seen = sleepingReaders.word.load(ordering: .acquiring)
        var found = state.load(ordering: .relaxed)
        // The mark is made only beside what keeps the reader out, and that is ended together with
        // the mark.
        while keepsReadersOut(found) && found & RWLockState.readersSleep == 0 {
            let (isMarked, now) = state.compareExchange(
                expected: found, desired: found | RWLockState.readersSleep, ordering: .relaxed)
            found = isMarked ? found | RWLockState.readersSleep : now
        }
        guard keepsReadersOut(found) else { return }
        trapIfHeld(found, toWrite: false)
        if !sleepingReaders.linger(while: seen, rounds: Self.patience) {
            sleepingReaders.wait(while: seen)
        }
    }

    // MARK: Writing

    borrowing func tryTakeWrite(by token: UInt32) -> Bool {
        var found = state.load(ordering: .relaxed)
        while found & (RWLockState.writing | RWLockState.inside) == 0 {
            let (isAlone, now) = state.weakCompareExchange(
                expected: found, desired: found | RWLockState.writing | UInt64(token),
                successOrdering: .acquiring, failureOrdering: .relaxed)
            if isAlone { return true }
            found = now
        }
        return false
    }

    borrowing func takeWrite(by token: UInt32) {
        // Finding the lock held and counting itself are one step: from then on readers wait behind
        // this writer.
        var found: UInt64
        repeat {
            if tryTakeWrite(by: token) { return }
            found = state.load(ordering: .relaxed)
            trapIfHeld(found, toWrite: true)
        } while !beginsToWait(found)
        while true {
            // Before the state is looked at: a wake-up that follows changes it.
            let seen = sleepingWriters.word.load(ordering: .acquiring)
            if takeAnnouncedWrite(by: token) { return }
            if !sleepingWriters.linger(while: seen, rounds: Self.patience) {
                sleepingWriters.wait(while: seen)
            }
        }
    }

    /// Counts a writer that waits and does not sleep: readers that come stay out until it has taken
    /// the lock, by `takeAnnouncedWrite`, or waits no longer.
    borrowing func announceWrite() {
        state.wrappingAdd(RWLockState.oneWriter, ordering: .relaxed)
    }

    /// Takes the lock for a writer that was announced, if it is free.
    borrowing func takeAnnouncedWrite(by token: UInt32) -> Bool {
        var found = state.load(ordering: .relaxed)
        while found & (RWLockState.writing | RWLockState.inside) == 0 {
            let (isMine, now) = state.weakCompareExchange(
                expected: found,
                desired: (found - RWLockState.oneWriter) | RWLockState.writing | UInt64(token),
                successOrdering: .acquiring, failureOrdering: .relaxed)
            if isMine { return true }
            found = now
        }
        return false
    }

    /// An announced writer waits no longer.
    borrowing func withdrawWrite() { _ = leave { $0 - RWLockState.oneWriter } }

    /// Counts the running thread among the writers that wait, if the lock is still held.
    private borrowing func beginsToWait(_ found: UInt64) -> Bool {
        guard found & (RWLockState.writing | RWLockState.inside) != 0 else { return false }
        return state.compareExchange(
            expected: found, desired: found + RWLockState.oneWriter, ordering: .relaxed
        ).exchanged
    }

    borrowing func giveWriteBack() {
        let (left, wokeReaders) = leave { $0 & ~(RWLockState.writing | RWLockState.inside) }
        // Else the last of these readers wakes a writer, if one waits.
        if !wokeReaders, left & RWLockState.writersWait != 0 { wakeWriter() }
    }

    /// Changes the state by `change`, and wakes the readers that sleep if nothing keeps them out
    /// any more.
    @inline(__always)
    private borrowing func leave(_ change: (UInt64) -> UInt64) -> (left: UInt64, wokeReaders: Bool)
    {
        var found = state.load(ordering: .relaxed)
        var left: UInt64
        while true {
            left = change(found)
            if !keepsReadersOut(left) { left &= ~RWLockState.readersSleep }
            let (isFree, now) = state.weakCompareExchange(
                expected: found, desired: left, successOrdering: .releasing,
                failureOrdering: .relaxed)
            if isFree { break }
            found = now
        }
        guard (found ^ left) & RWLockState.readersSleep != 0 else { return (left, false) }
        sleepingReaders.word.wrappingAdd(1, ordering: .releasing)
        sleepingReaders.wake()
        return (left, true)
    }

    @usableFromInline
    @inline(never)
    borrowing func wakeWriter() {
        sleepingWriters.word.wrappingAdd(1, ordering: .releasing)
        sleepingWriters.wake(1)
    }

    // MARK: Misuse

    /// Traps when the running thread is about to wait for itself.
    private borrowing func trapIfHeld(_ found: UInt64, toWrite: Bool) {
        if found & RWLockState.writing != 0,
            unsafe found & RWLockState.inside == UInt64(quiesce_current_block().pointee.id)
        {
            fatalError(
                "a thread locked an RWLock inside of its own withWriteLock; it would wait for itself for ever"
            )
        }
        guard ReadSection.isOpen(at: address) else { return }
        fatalError(
            toWrite
                ? "a thread called withWriteLock inside of its own withReadLock of the same RWLock; it would wait for itself for ever"
                : "a thread called withReadLock inside of its own withReadLock of the same RWLock while a writer waits; each would wait for the other for ever"
        )
    }
}
