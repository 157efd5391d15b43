// SPDX-License-Identifier: Apache-2.0

public import CSubstrate

/// A read section of a reader-writer lock that the running thread is inside of.
///
/// The sections of one thread are a list on its stack, the innermost first: a thread that has to
/// wait for a lock finds out there whether it would wait for itself.
@safe
@frozen
@usableFromInline
struct ReadSection {
    /// The address of the lock.
    @usableFromInline let lock: UInt
    @usableFromInline let outer: UnsafeRawPointer?

    @inlinable
    init(of lock: UInt, inside outer: UnsafeRawPointer?) {
        self.lock = lock
        unsafe self.outer = outer
    }

    /// Runs `body` as a read section of the lock at `address`.
    @inlinable
    @inline(__always)
    static func run<Result: ~Copyable, Failure: Error>(
        of address: UInt, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let outer = unsafe quiesce_current_block().pointee.reads
        var section = unsafe ReadSection(of: address, inside: outer)
        return try unsafe withUnsafeMutablePointer(to: &section) { section throws(Failure) in
            unsafe quiesce_current_block().pointee.reads = UnsafeRawPointer(section)
            defer { unsafe quiesce_current_block().pointee.reads = outer }
            return try body()
        }
    }

    /// Whether the running thread is inside of a read section of the lock at `address`.
    static func isOpen(at address: UInt) -> Bool {
        var next = unsafe quiesce_current_block().pointee.reads
        while let section = unsafe next?.assumingMemoryBound(to: ReadSection.self) {
            if unsafe section.pointee.lock == address { return true }
            unsafe next = section.pointee.outer
        }
        return false
    }
}
