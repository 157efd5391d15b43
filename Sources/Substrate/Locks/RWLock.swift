// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

/// A lock that many readers or one writer hold.
///
/// By default readers wait behind a waiting writer, so that writers are not starved; reading again
/// inside a read section can then deadlock. `.readers` prefers readers, as some systems' locks do;
/// it exists to model them.
///
/// Kernel counterpart: `struct rw_semaphore`.
public struct RWLock<Value: ~Copyable>: ~Copyable {
    /// Who goes first when a writer waits.
    public enum Preference: Sendable {
        case writers, readers
    }

    private let state = Synchronization.Atomic<UInt32>(0)
    private let waitingWriters = Synchronization.Atomic<UInt32>(0)
    private let preference: Preference
    private let cell: Cell<Value>

    public init(
        _ initialValue: consuming sending Value, preferring preference: Preference = .writers
    ) {
        self.preference = preference
        cell = Cell(initialValue)
    }

    private var address: UInt { unsafe withUnsafePointer(to: state) { UInt(bitPattern: $0) } }

    /// Names this lock in traces and begins its life.
    ///
    /// Call it once, in the initializer of its owner: see <doc:MemoryAndObservation#Labels>.
    public borrowing func label(_ name: @autoclosure () -> String) {
        if let observer = Watch.observer { observer.label(address, name) }
    }

    /// Calls `body` with the value, together with other readers.
    public borrowing func withReadLock<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        acquireRead(Site(file, line))
        defer { releaseRead(Site(file, line)) }
        return unsafe try body(cell.address.pointee)
    }

    /// Calls `body` with the value, alone.
    public borrowing func withWriteLock<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        acquireWrite(Site(file, line))
        defer { releaseWrite(Site(file, line)) }
        let value = unsafe cell.address
        return unsafe try body(&value.pointee)
    }

    /// As `withReadLock`, but returns nil rather than wait.
    public borrowing func withReadLockIfAvailable<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Value) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard tryAcquireRead(Site(file, line)) else { return nil }
        defer { releaseRead(Site(file, line)) }
        return unsafe try body(cell.address.pointee)
    }

    /// As `withWriteLock`, but returns nil rather than wait.
    public borrowing func withWriteLockIfAvailable<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard tryAcquireWrite(Site(file, line)) else { return nil }
        defer { releaseWrite(Site(file, line)) }
        let value = unsafe cell.address
        return unsafe try body(&value.pointee)
    }
}

// Readers get the value borrowed, the writer is alone; the value crosses threads only through the
// lock.
extension RWLock: @unchecked Sendable where Value: ~Copyable {}

// MARK: - The word

private let writing: UInt32 = 1 << 31
private let writerWaits: UInt32 = 1 << 30
private let readers: UInt32 = writerWaits - 1

extension RWLock where Value: ~Copyable {
    private borrowing func watched(
        _ observer: WatchingObserver, _ kind: OperationKind, _ order: MemoryOrder, _ site: Site
    ) -> Bool {
        var operation = Operation(kind, address, order, site: site)
        operation.prefersReaders = preference == .readers
        return observer.perform(operation)
    }

    /// What keeps a reader out.
    private var readerBarrier: UInt32 { preference == .readers ? writing : writing | writerWaits }

    private borrowing func acquireRead(_ site: Site) {
        if let observer = Watch.observer {
            _ = watched(observer, .readLock, .acquiring, site)
            return
        }
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

    private borrowing func tryAcquireRead(_ site: Site) -> Bool {
        if let observer = Watch.observer {
            return watched(observer, .tryReadLock, .acquiring, site)
        }
        var found = state.load(ordering: .relaxed)
        while found & readerBarrier == 0 {
            let (exchanged, original) = state.weakCompareExchange(
                expected: found, desired: found + 1, ordering: .acquiring)
            if exchanged { return true }
            found = original
        }
        return false
    }

    private borrowing func releaseRead(_ site: Site) {
        if let observer = Watch.observer {
            _ = watched(observer, .readUnlock, .releasing, site)
            return
        }
        // A writer that sleeps while readers are inside has left its mark in the very word that it
        // sleeps on.
        if state.wrappingSubtract(1, ordering: .releasing).newValue == writerWaits { wakeAll() }
    }

    private borrowing func acquireWrite(_ site: Site) {
        if let observer = Watch.observer {
            _ = watched(observer, .writeLock, .acquiring, site)
            return
        }
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

    private borrowing func tryAcquireWrite(_ site: Site) -> Bool {
        if let observer = Watch.observer {
            return watched(observer, .tryWriteLock, .acquiring, site)
        }
        var found = state.load(ordering: .relaxed)
        while found & (writing | readers) == 0 {
            let (exchanged, original) = state.weakCompareExchange(
                expected: found, desired: found | writing, ordering: .acquiring)
            if exchanged { return true }
            found = original
        }
        return false
    }

    private borrowing func releaseWrite(_ site: Site) {
        if let observer = Watch.observer {
            _ = watched(observer, .writeUnlock, .releasing, site)
            return
        }
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
