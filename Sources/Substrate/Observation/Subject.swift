// SPDX-License-Identifier: Apache-2.0

public import CSubstrate
public import Synchronization

/// What the operations of a primitive are on, for an explorer that takes each of them for one step.
///
/// A primitive whose operations have been proven to be atomic says so: each declares its subject,
/// and whether it changes what others can tell. Two operations that only read their subject
/// commute, and so do operations on different subjects. Where the explorer looks coarsely, the
/// whole operation is a step then, which touches its subjects, and what it touches besides; looked
/// at finely, or when nobody watches, the declaration means nothing.
///
/// - An operation contains nothing of its caller's: it ends before a callback, a release action or
///   an item's function is called.
/// - Where it waits, the step ends; what follows the wait is another.
/// - An operation inside another belongs to the same step.
@usableFromInline
package struct Subject: ~Copyable, Sendable {
    // Only its address counts, and an atomic is never moved.
    @usableFromInline let mark: Synchronization.Atomic<UInt8>

    @inlinable
    package init() { mark = Synchronization.Atomic(0) }

    @usableFromInline
    package var address: UInt {
        unsafe withUnsafePointer(to: mark) { UInt(bitPattern: $0) }
    }

    /// Names the subject, and calls `parts`, which labels what is reached by its operations alone.
    /// Call it in the initializer of its owner.
    package borrowing func label(_ name: @autoclosure () -> String, parts: () -> Void) {
        DeclaredOperation.label(address, name, parts)
    }

    /// Runs `body`, an operation that changes nothing which an operation of this kind on the same
    /// subject could tell.
    @inlinable
    @inline(__always)
    package borrowing func read<Result: ~Copyable, Failure: Error>(
        _ name: StaticString, file: StaticString = #filePath, line: UInt = #line,
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try DeclaredOperation.run(name, on: address, writes: false, file, line, body)
    }

    /// Runs `body`, an operation whose place among the others on the same subject can be told.
    @inlinable
    @inline(__always)
    package borrowing func write<Result: ~Copyable, Failure: Error>(
        _ name: StaticString, file: StaticString = #filePath, line: UInt = #line,
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try DeclaredOperation.run(name, on: address, writes: true, file, line, body)
    }
}

extension Subject {
    /// Says for traces what the running operation has turned out to do, where that tells more than
    /// its name and subject. The last word counts.
    @inlinable
    @inline(__always)
    package static func does(_ deed: @autoclosure () -> String) {
        guard _slowPath(unsafe quiesce_current_block().pointee.observer != nil) else { return }
        Watch.observer?.with { if unsafe $0.isRecording { $0.operationDoes(deed()) } }
    }
}

extension Atomic {
    /// Runs `body`, an operation whose subject is this atomic itself, as `Subject.read` and `write`
    /// do.
    ///
    /// For primitives whose state is one word. A load of the word commutes with an operation that
    /// only reads, so one that tells such operations apart has to be an operation that writes.
    @inlinable
    @inline(__always)
    package borrowing func operation<Result: ~Copyable, Failure: Error>(
        _ name: StaticString, writes: Bool, file: StaticString = #filePath, line: UInt = #line,
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try DeclaredOperation.run(name, on: address, writes: writes, file, line, body)
    }

    /// Names the atomic, and calls `parts`, which labels what is reached by operations on it alone.
    package borrowing func label(_ name: @autoclosure () -> String, parts: () -> Void) {
        DeclaredOperation.label(address, name, parts)
    }
}

/// What a subject and an atomic have in common: their address.
@usableFromInline
enum DeclaredOperation {
    @inlinable
    @inline(__always)
    static func run<Result: ~Copyable, Failure: Error>(
        _ name: StaticString, on address: @autoclosure () -> UInt, writes: Bool,
        _ file: StaticString, _ line: UInt,
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard _slowPath(unsafe quiesce_current_block().pointee.observer != nil) else {
            return try body()
        }
        begin(name, address(), writes, file, line)
        defer { end() }
        return try body()
    }

    @usableFromInline
    @inline(never)
    static func begin(
        _ name: StaticString, _ address: UInt, _ writes: Bool, _ file: StaticString, _ line: UInt
    ) {
        Watch.observer?.with {
            $0.operationBegins(name, on: address, writes: writes, at: Site(file, line))
        }
    }

    @usableFromInline
    @inline(never)
    static func end() { Watch.observer?.with { $0.operationEnds() } }

    static func label(_ address: UInt, _ name: () -> String, _ parts: () -> Void) {
        guard let observer = Watch.observer else { return parts() }
        observer.label(address, name)
        observer.with { $0.subject(address, begins: true) }
        parts()
        observer.with { $0.subject(address, begins: false) }
    }
}
