// SPDX-License-Identifier: Apache-2.0

public import Substrate

/// A count of references that cannot wrap: when it is used wrongly it saturates, and what it guards
/// is leaked, not freed early.
///
/// Half of the range is for counting; the negative half means *saturated*, which every operation
/// keeps. A count that has come to zero is never raised again. Each mistake that is survived so is
/// reported as a `Misuse`.
///
/// Raising is relaxed: a thread that shares a reference has one. Lowering releases, and acquires
/// when it comes to zero, so that the end of the object sees all that was done to it. Every
/// operation is one atomic update, or a loop of them.
///
/// Kernel counterpart: `refcount_t` (lib/refcount.c), whose results these operations have, case by
/// case.
public struct ReferenceCount: ~Copyable, Sendable {
    @usableFromInline let count: Atomic<Int32>

    /// The greatest count.
    public static let maximum = Int32.max
    /// Where a saturated count is set: in the middle of the negative half, so that no race gets it
    /// out.
    public static let saturated = Int32.min / 2

    /// A count of `value` references.
    @inlinable
    public init(_ value: Int32 = 1) {
        count = Atomic(value)
    }

    /// Names this count in traces: call it in the initializer of its owner.
    public func label(_ name: @autoclosure () -> String) {
        count.label(name())
    }

    /// The count now. Relaxed. Kernel: `refcount_read`.
    public var value: Int32 { count.load(ordering: .relaxed) }

    /// Sets the count, before others can see it. Kernel: `refcount_set`.
    public func set(_ value: Int32) { count.store(value, ordering: .relaxed) }

    // MARK: Raising

    /// Adds `amount` references to those that the caller has. Kernel: `refcount_add`,
    /// `refcount_inc`.
    @inlinable
    @inline(__always)
    public func increment(by amount: Int32 = 1, file: StaticString = #filePath, line: UInt = #line)
    {
        let old = count.wrappingAdd(amount, ordering: .relaxed, file: file, line: line).oldValue
        if _slowPath(old <= 0 || old &+ amount < 0) {
            saturate(old == 0 ? .raisedFromZero : .overflow, file, line)
        }
    }

    /// Adds `amount` references unless there is none left, and says whether it did. Kernel:
    /// `refcount_inc_not_zero`.
    ///
    /// For lookups, which find an object that they hold no reference to.
    @inlinable
    public func incrementUnlessZero(
        by amount: Int32 = 1, file: StaticString = #filePath, line: UInt = #line
    ) -> Bool {
        let old = count.operation("take of", writes: true, file: file, line: line) {
            var old = count.load(ordering: .relaxed, file: file, line: line)
            while old != 0 {
                let (isExchanged, found) = count.compareExchange(
                    expected: old, desired: old &+ amount, ordering: .relaxed, file: file,
                    line: line)
                if isExchanged { break }
                old = found
            }
            return old
        }
        if old == 0 { return false }
        if _slowPath(old < 0 || old &+ amount < 0) { saturate(.overflow, file, line) }
        return true
    }

    // MARK: Lowering

    /// Gives `amount` references back, and says whether they were the last. Kernel:
    /// `refcount_sub_and_test`.
    ///
    /// The caller that gets true ends the object.
    @inlinable
    @inline(__always)
    public func decrementAndTest(
        by amount: Int32 = 1, file: StaticString = #filePath, line: UInt = #line
    ) -> Bool {
        let old = count.wrappingSubtract(
            amount, ordering: .acquiringAndReleasing, file: file, line: line
        ).oldValue
        if old == amount, old > 0 { return true }
        if _slowPath(old <= 0 || old &- amount < 0) { saturate(.lowTooOften, file, line) }
        return false
    }

    /// Gives one reference back that is known not to be the last. Kernel: `refcount_dec`.
    public func decrement(file: StaticString = #filePath, line: UInt = #line) {
        let old = count.wrappingSubtract(1, ordering: .releasing, file: file, line: line).oldValue
        if _slowPath(old <= 1) { saturate(.lastDropped, file, line) }
    }

    /// Gives the reference back if it is the only one, and says whether it was. Kernel:
    /// `refcount_dec_if_one`.
    public func decrementIfOne(file: StaticString = #filePath, line: UInt = #line) -> Bool {
        count.compareExchange(
            expected: 1, desired: 0, ordering: .acquiringAndReleasing, file: file, line: line
        ).exchanged
    }

    /// Gives one reference back unless it is the only one, and says whether it did. Kernel:
    /// `refcount_dec_not_one`.
    ///
    /// A saturated count says yes and stays.
    public func decrementUnlessOne(file: StaticString = #filePath, line: UInt = #line) -> Bool {
        var old = count.load(ordering: .relaxed, file: file, line: line)
        while true {
            if old == Self.saturated { return true }
            if old == 1 { return false }
            if old == 0 {
                Misuse.report(.lowTooOften, file, line)
                return true
            }
            let (isExchanged, found) = count.compareExchange(
                expected: old, desired: old &- 1, successOrdering: .releasing,
                failureOrdering: .relaxed,
                file: file, line: line)
            if isExchanged { return true }
            old = found
        }
    }

    @usableFromInline
    @inline(never)
    func saturate(_ kind: Misuse.Kind, _ file: StaticString, _ line: UInt) {
        count.store(Self.saturated, ordering: .relaxed, file: file, line: line)
        Misuse.report(kind, file, line)
    }
}
