// SPDX-License-Identifier: Apache-2.0

/// A lock that many readers or one writer hold.
///
/// By default readers wait behind a waiting writer, so that readers do not starve writers; writers
/// that never cease to come can starve readers, and one another. `.readers` prefers readers, as
/// some systems' locks do; it exists to model them.
///
/// Several threads read the value at once, so it must be `Sendable`: a class that only a lock
/// protects belongs into a `Mutex`.
///
/// On one thread, a call inside of another call of the same lock
///
/// | inside | `withReadLock` | `withWriteLock` |
/// |---|---|---|
/// | `withReadLock` | is allowed, unless a writer waits and writers are preferred: then it traps |
/// traps |
/// | `withWriteLock` | traps | traps |
///
/// because it would wait for itself for ever. While explored that is a deadlock. The `IfAvailable`
/// calls never wait, so they are allowed everywhere: they return nil where the others would trap.
///
/// A lock acquires, an unlock releases, and readers do not order one another. An uncontended read
/// or write is two atomic updates and no system call; a waiter sleeps in the kernel. Kernel
/// counterpart: `struct rw_semaphore`.
@frozen
public struct RWLock<Value: ~Copyable & Sendable>: ~Copyable {
    /// Which side goes first when a writer waits.
    public enum Preference: Sendable {
        case writers, readers
    }

    @usableFromInline let words: RWLockWords
    @usableFromInline let cell: Cell<Value>

    /// A free lock around `initialValue`. Its class is the line that makes it.
    @inlinable
    public init(
        _ initialValue: consuming Value, preferring preference: Preference = .writers,
        file: StaticString = #filePath, line: UInt = #line
    ) {
        words = RWLockWords(
            LockClass(Site(file, line)), prefersReaders: preference == .readers)
        cell = Cell(initialValue)
    }

    /// Where the lock was made.
    public var lockClass: LockClass { words.lockClass }

    /// Names this lock in traces and begins its life.
    ///
    /// Call it once, in the initializer of its owner: see <doc:MemoryAndObservation#Labels>.
    @inlinable
    public borrowing func label(_ name: @autoclosure () -> String) {
        if let observer = Watch.observer { observer.label(words.address, name) }
    }

    /// Calls `body` with the value, together with other readers.
    ///
    /// Waits while a writer is inside, and while a writer waits if writers are preferred.
    @inlinable
    @inline(__always)
    public borrowing func withReadLock<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        words.acquireRead(Site(file, line))
        defer { words.releaseRead(Site(file, line)) }
        return try ReadSection.run(of: words.address) { () throws(Failure) in
            unsafe try body(cell.address.pointee)
        }
    }

    /// Calls `body` with the value, alone. Waits while anybody else is inside.
    @inlinable
    @inline(__always)
    public borrowing func withWriteLock<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        words.acquireWrite(Site(file, line))
        defer { words.releaseWrite(Site(file, line)) }
        let value = unsafe cell.address
        return unsafe try body(&value.pointee)
    }

    /// As `withReadLock`, but returns nil rather than wait.
    @inlinable
    @inline(__always)
    public borrowing func withReadLockIfAvailable<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Value) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard words.tryAcquireRead(Site(file, line)) else { return nil }
        defer { words.releaseRead(Site(file, line)) }
        return try ReadSection.run(of: words.address) { () throws(Failure) in
            unsafe try body(cell.address.pointee)
        }
    }

    /// As `withWriteLock`, but returns nil rather than wait.
    @inlinable
    @inline(__always)
    public borrowing func withWriteLockIfAvailable<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard words.tryAcquireWrite(Site(file, line)) else { return nil }
        defer { words.releaseWrite(Site(file, line)) }
        let value = unsafe cell.address
        return unsafe try body(&value.pointee)
    }
}

// Readers borrow a value that threads may share, and a writer is alone.
extension RWLock: @unchecked Sendable where Value: ~Copyable {}
