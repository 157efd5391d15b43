// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

private let writing: UInt32 = 1 << 31
private let writerWaits: UInt32 = 1 << 30
private let readers: UInt32 = writerWaits - 1

/// The state of a reader-writer lock, apart from the value that it protects: it is the same for all
/// types of values, so that its operations need to know nothing of those.
struct RWLockWords: ~Copyable {
    private let state = Synchronization.Atomic<UInt32>(0)
    private let waitingWriters = Synchronization.Atomic<UInt32>(0)
    let lockClass: LockClass
    private let prefersReaders: Bool

    init(_ lockClass: LockClass, prefersReaders: Bool) {
        self.lockClass = lockClass
        self.prefersReaders = prefersReaders
    }

    var address: UInt { unsafe withUnsafePointer(to: state) { UInt(bitPattern: $0) } }

    @inline(__always)
    borrowing func acquireRead(_ site: Site) {
        guard _fastPath(Watch.isUnwatched) else {
            _ = watched(.readLock, .acquiring, site)
            return
        }
        takeRead()
    }

    @inline(__always)
    borrowing func tryAcquireRead(_ site: Site) -> Bool {
        guard _fastPath(Watch.isUnwatched) else { return watched(.tryReadLock, .acquiring, site) }
        return tryTakeRead()
    }

    borrowing func releaseRead(_ site: Site) {
        guard _fastPath(Watch.isUnwatched) else {
            _ = watched(.readUnlock, .releasing, site)
            return
        }
        giveReadBack()
    }

    @inline(__always)
    borrowing func acquireWrite(_ site: Site) {
        guard _fastPath(Watch.isUnwatched) else {
            _ = watched(.writeLock, .acquiring, site)
            return
        }
        takeWrite()
    }

    @inline(__always)
    borrowing func tryAcquireWrite(_ site: Site) -> Bool {
        guard _fastPath(Watch.isUnwatched) else { return watched(.tryWriteLock, .acquiring, site) }
        return tryTakeWrite()
    }

    borrowing func releaseWrite(_ site: Site) {
        guard _fastPath(Watch.isUnwatched) else {
            _ = watched(.writeUnlock, .releasing, site)
            return
        }
        giveWriteBack()
    }

    /// Has the observer perform the operation, or performs it between the calls of the listener.
    @inline(never)
    private borrowing func watched(
        _ kind: OperationKind, _ order: MemoryOrder, _ site: Site
    ) -> Bool {
        if let observer = Watch.observer {
            var operation = Operation(kind, address, order, site: site)
            operation.prefersReaders = prefersReaders
            return observer.perform(operation)
        }
        // The thread takes up its listener when it registers.
        World.registerCurrentThread()
        return PassiveListener.told(kind, at: address, of: lockClass, site) { plainly(kind) }
    }

    private borrowing func plainly(_ kind: OperationKind) -> Bool {
        switch kind {
        case .readLock: takeRead()
        case .tryReadLock: return tryTakeRead()
        case .readUnlock: giveReadBack()
        case .writeLock: takeWrite()
        case .tryWriteLock: return tryTakeWrite()
        case .writeUnlock: giveWriteBack()
        default: fatalError("a reader-writer lock has no operation of the kind \(kind)")
        }
        return true
    }

    // MARK: On the processor, inlined where nobody watches

    /// What keeps a reader out.
    private var readerBarrier: UInt32 { prefersReaders ? writing : writing | writerWaits }

    @inline(__always)
    private borrowing func takeRead() {
        while true {
            let found = state.load(ordering: .relaxed)
            if found & readerBarrier == 0 {
                if state.weakCompareExchange(
                    expected: found, desired: found + 1, ordering: .acquiring
                ).exchanged {
                    return
                }
            } else {
                sleep(while: found)
            }
        }
    }

    @inline(__always)
    borrowing func tryTakeRead() -> Bool {
        var found = state.load(ordering: .relaxed)
        while found & readerBarrier == 0 {
            let (exchanged, original) = state.weakCompareExchange(
                expected: found, desired: found + 1, ordering: .acquiring)
            if exchanged { return true }
            found = original
        }
        return false
    }

    @inline(__always)
    borrowing func giveReadBack() {
        // A writer that sleeps while readers are inside has left its mark in the very word that it
        // sleeps on.
        if state.wrappingSubtract(1, ordering: .releasing).newValue == writerWaits { wakeAll() }
    }

    @inline(__always)
    private borrowing func takeWrite() {
        if state.compareExchange(expected: 0, desired: writing, ordering: .acquiring).exchanged {
            return
        }
        waitingWriters.wrappingAdd(1, ordering: .sequentiallyConsistent)
        while true {
            // Releasing: whoever takes this mark away must see that this writer counted itself.
            let found = state.bitwiseOr(writerWaits, ordering: .releasing).newValue
            if found & (writing | readers) == 0 {
                if state.weakCompareExchange(
                    expected: found, desired: found | writing, ordering: .acquiring
                ).exchanged {
                    break
                }
            } else {
                sleep(while: found)
            }
        }
        // The last waiter takes its mark away; one that came meanwhile puts it back.
        if waitingWriters.wrappingSubtract(1, ordering: .sequentiallyConsistent).newValue == 0 {
            state.bitwiseAnd(~writerWaits, ordering: .sequentiallyConsistent)
            if waitingWriters.load(ordering: .sequentiallyConsistent) > 0 {
                state.bitwiseOr(writerWaits, ordering: .relaxed)
            }
        }
    }

    @inline(__always)
    borrowing func tryTakeWrite() -> Bool {
        var found = state.load(ordering: .relaxed)
        while found & (writing | readers) == 0 {
            let (exchanged, original) = state.weakCompareExchange(
                expected: found, desired: found | writing, ordering: .acquiring)
            if exchanged { return true }
            found = original
        }
        return false
    }

    @inline(__always)
    borrowing func giveWriteBack() {
        state.bitwiseAnd(~writing, ordering: .releasing)
        wakeAll()
    }

    private borrowing func sleep(while found: UInt32) {
        BlockingObserver.told {
            unsafe withUnsafePointer(to: state) { _ = unsafe quiesce_futex_wait($0, found, 0) }
        }
    }

    private borrowing func wakeAll() {
        unsafe withUnsafePointer(to: state) { _ = unsafe quiesce_futex_wake($0, Int32.max) }
    }
}
