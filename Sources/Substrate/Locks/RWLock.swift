// SPDX-License-Identifier: Apache-2.0

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

    private let words: RWLockWords
    private let cell: Cell<Value>

    /// A free lock around `initialValue`. Its class is the line that makes it.
    public init(
        _ initialValue: consuming sending Value, preferring preference: Preference = .writers,
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
    public borrowing func label(_ name: @autoclosure () -> String) {
        if let observer = Watch.observer { observer.label(words.address, name) }
    }

    /// Calls `body` with the value, together with other readers.
    public borrowing func withReadLock<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        words.acquireRead(Site(file, line))
        defer { words.releaseRead(Site(file, line)) }
        return unsafe try body(cell.address.pointee)
    }

    /// Calls `body` with the value, alone.
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
    public borrowing func withReadLockIfAvailable<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Value) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard words.tryAcquireRead(Site(file, line)) else { return nil }
        defer { words.releaseRead(Site(file, line)) }
        return unsafe try body(cell.address.pointee)
    }

    /// As `withWriteLock`, but returns nil rather than wait.
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

// Readers get the value borrowed, the writer is alone; the value crosses threads only through the
// lock.
extension RWLock: @unchecked Sendable where Value: ~Copyable {}
