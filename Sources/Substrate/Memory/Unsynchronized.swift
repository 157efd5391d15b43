// SPDX-License-Identifier: Apache-2.0

/// Memory that threads share by protocol: nothing orders its accesses but what the program does
/// around them.
///
/// One predicted branch in production. While explored, two accesses of which one writes and that no
/// declared order, lock or join separates are a data race, and that is a finding.
///
/// Only the memory itself is the program's responsibility. Threads share it where its value is
/// `Sendable`: what a thread takes out is as safe there as anywhere.
@frozen
public struct Unsynchronized<Value: ~Copyable>: ~Copyable {
    @usableFromInline let cell: Cell<Value>

    @inlinable
    public init(_ initialValue: consuming Value) {
        cell = Cell(initialValue)
    }

    @usableFromInline
    var address: UInt {
        @inlinable get { UInt(bitPattern: unsafe cell.address) }
    }

    /// Names this memory in traces and begins its life.
    ///
    /// Call it once, in the initializer of its owner: see <doc:MemoryAndObservation#Labels>.
    @inlinable
    public borrowing func label(_ name: @autoclosure () -> String) {
        if let observer = Watch.observer { observer.label(address, name) }
    }

    /// Calls `body` with the value, which it may change.
    @inlinable
    public borrowing func withValue<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        if let observer = Watch.observer {
            _ = observer.perform(Operation(.plainWrite, address, .relaxed, site: Site(file, line)))
        }
        let value = unsafe cell.address
        return unsafe try body(&value.pointee)
    }
}

extension Unsynchronized where Value: ~Copyable {
    /// Calls `body` with the value, which it only reads.
    @inlinable
    public borrowing func withBorrow<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        if let observer = Watch.observer {
            _ = observer.perform(Operation(.plainRead, address, .relaxed, site: Site(file, line)))
        }
        let value = unsafe cell.address
        return unsafe try body(value.pointee)
    }
}

extension Unsynchronized where Value: ~Copyable {
    /// Calls `body`, which may suspend, with the value, which it only reads. To an observer the
    /// read is when `body` begins: what keeps writers out meanwhile is the program's.
    package borrowing func withBorrow<Result, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Value) async throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        if let observer = Watch.observer {
            _ = observer.perform(Operation(.plainRead, address, .relaxed, site: Site(file, line)))
        }
        let value = unsafe cell.address
        return unsafe try await body(value.pointee)
    }
}

// The program promises that its accesses do not race; exploring it checks the promise. Nobody could
// promise that of a value that is not Sendable and has been taken out.
extension Unsynchronized: @unchecked Sendable where Value: ~Copyable & Sendable {}

extension Unsynchronized {
    /// The value now.
    @inlinable
    @inline(__always)
    public borrowing func load(file: StaticString = #filePath, line: UInt = #line) -> Value {
        guard let observer = Watch.observer else { return unsafe cell.address.pointee }
        _ = observer.perform(Operation(.plainRead, address, .relaxed, site: Site(file, line)))
        let value = unsafe cell.address.pointee
        if observer.isRecording { observer.describe(old: described(value), new: described(value)) }
        return value
    }

    /// Replaces the value.
    @inlinable
    @inline(__always)
    public borrowing func store(
        _ newValue: consuming Value, file: StaticString = #filePath, line: UInt = #line
    ) {
        if let observer = Watch.observer {
            _ = observer.perform(Operation(.plainWrite, address, .relaxed, site: Site(file, line)))
            if observer.isRecording {
                let copy = copy newValue
                observer.describe(old: unsafe described(cell.address.pointee), new: described(copy))
            }
        }
        let value = unsafe cell.address
        unsafe value.pointee = newValue
    }
}
