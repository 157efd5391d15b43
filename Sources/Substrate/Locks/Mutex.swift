// SPDX-License-Identifier: Apache-2.0

public import CSubstrate
public import Synchronization

/// A lock that protects a value: `Synchronization.Mutex`, visible to an observer of the thread.
///
/// Not recursive: locking it again on the same thread traps with a sentence, and is a deadlock
/// while explored. Not fair. `lock` acquires, `unlock` releases. An uncontended pair is two
/// compare-exchanges; a waiter sleeps in the kernel.
///
/// It does not inherit priority: a thread that holds it keeps its own priority while a more urgent
/// thread waits. The standard library's mutex does inherit priority on Linux, by a
/// priority-inheritance futex. Where threads of different real-time priorities share a lock, keep
/// the standard one.
///
/// Kernel counterpart: `struct mutex`.
@frozen
public struct Mutex<Value: ~Copyable>: ~Copyable {
    /// 0 when free, else the holder's number, with `LockWord.contended` set when somebody sleeps.
    @usableFromInline let word: Synchronization.Atomic<UInt32>
    /// Where the lock was made. It fills the word that the alignment of most values leaves free.
    public let lockClass: LockClass
    @usableFromInline let cell: Cell<Value>

    /// A free lock around `initialValue`. Its class is the line that makes it.
    @inlinable
    public init(
        _ initialValue: consuming sending Value, file: StaticString = #filePath,
        line: UInt = #line
    ) {
        word = Synchronization.Atomic(0)
        lockClass = LockClass(Site(file, line))
        cell = Cell(initialValue)
    }

    /// Calls `body` with the value while holding the lock.
    @inlinable
    @inline(__always)
    public borrowing func withLock<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        acquire(Site(file, line))
        defer { release(Site(file, line)) }
        let value = unsafe cell.address
        return unsafe try body(&value.pointee)
    }

    /// Calls `body` with the value if the lock is free; returns nil if it is not.
    @inlinable
    @inline(__always)
    public borrowing func withLockIfAvailable<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result? {
        guard tryAcquire(Site(file, line)) else { return nil }
        defer { release(Site(file, line)) }
        let value = unsafe cell.address
        return unsafe try body(&value.pointee)
    }

    /// Names this lock in traces and begins its life.
    ///
    /// Call it once, in the initializer of its owner: see <doc:MemoryAndObservation#Labels>.
    @inlinable
    public borrowing func label(_ name: @autoclosure () -> String) {
        if let observer = Watch.observer { observer.label(address, name) }
    }
}

// The value is reached by the lock's holder alone.
extension Mutex: @unchecked Sendable where Value: ~Copyable {}

// MARK: - Lock and unlock apart

extension Mutex where Value: ~Copyable {
    /// Acquires the lock; waits while another thread holds it. Prefer `withLock`.
    @available(
        *, noasync,
        message: "a task may continue on another thread than the one that holds the lock"
    )
    @inlinable
    @inline(__always)
    public borrowing func lock(file: StaticString = #filePath, line: UInt = #line) {
        acquire(Site(file, line))
    }

    /// Acquires the lock if it is free, and says whether it did.
    @available(
        *, noasync,
        message: "a task may continue on another thread than the one that holds the lock"
    )
    @inlinable
    @inline(__always)
    public borrowing func tryLock(file: StaticString = #filePath, line: UInt = #line) -> Bool {
        tryAcquire(Site(file, line))
    }

    /// Releases the lock, which this thread must hold.
    @available(
        *, noasync,
        message: "a task may continue on another thread than the one that holds the lock"
    )
    @inlinable
    @inline(__always)
    public borrowing func unlock(file: StaticString = #filePath, line: UInt = #line) {
        release(Site(file, line))
    }

    @usableFromInline
    var address: UInt {
        @inlinable get { unsafe withUnsafePointer(to: word) { UInt(bitPattern: $0) } }
    }

    @inlinable
    @inline(__always)
    borrowing func acquire(_ site: Site) {
        let token = unsafe quiesce_current_block().pointee.token
        if _fastPath(
            token != 0
                && word.compareExchange(expected: 0, desired: token, ordering: .acquiring).exchanged
        ) {
            return
        }
        acquireSlow(site)
    }

    @inlinable
    @inline(__always)
    borrowing func release(_ site: Site) {
        let token = unsafe quiesce_current_block().pointee.token
        if _fastPath(
            token != 0
                && word.compareExchange(expected: token, desired: 0, ordering: .releasing).exchanged
        ) {
            return
        }
        releaseSlow(site)
    }

    @inlinable
    @inline(__always)
    borrowing func tryAcquire(_ site: Site) -> Bool {
        let token = unsafe quiesce_current_block().pointee.token
        guard _fastPath(token != 0) else { return tryAcquireSlow(site) }
        return word.compareExchange(expected: 0, desired: token, ordering: .acquiring).exchanged
    }

    @usableFromInline
    @inline(never)
    borrowing func tryAcquireSlow(_ site: Site) -> Bool {
        if let observer = Watch.observer {
            return observer.mutex(.tryLock, at: address, site)
        }
        let token = LockWord.token()
        return PassiveListener.told(.tryLock, at: address, of: lockClass, site) {
            word.compareExchange(expected: 0, desired: token, ordering: .acquiring).exchanged
        }
    }

    @usableFromInline
    @inline(never)
    borrowing func acquireSlow(_ site: Site) {
        if let observer = Watch.observer {
            // Whether somebody has to be told shows by a try. A primitive's own locks are held for
            // a moment.
            if BlockingObserver.current == nil || observer.with({ $0.isInOperation }) {
                _ = observer.mutex(.lock, at: address, site)
            } else if !observer.mutex(.tryLock, at: address, site) {
                BlockingObserver.told {
                    _ = observer.mutex(.lock, at: address, site)
                }
            }
            return
        }
        // The thread takes up its listener when it registers.
        let token = LockWord.token()
        _ = PassiveListener.told(.lock, at: address, of: lockClass, site) {
            LockWord.acquire(word, token)
            return true
        }
    }

    @usableFromInline
    @inline(never)
    borrowing func releaseSlow(_ site: Site) {
        if let observer = Watch.observer {
            _ = observer.mutex(.unlock, at: address, site)
            return
        }
        let token = LockWord.token()
        _ = PassiveListener.told(.unlock, at: address, of: lockClass, site) {
            LockWord.release(word, token)
            return true
        }
    }
}
