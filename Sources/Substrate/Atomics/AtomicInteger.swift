// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A fixed-width integer that can be modified atomically.
public protocol AtomicInteger: FixedWidthInteger, AtomicRepresentable
where AtomicRepresentation: AtomicWord {
    static func apply(
        _ operation: AtomicIntegerOperation, _ operand: Self,
        to atomic: borrowing Synchronization.Atomic<Self>,
        ordering: AtomicUpdateOrdering
    ) -> (oldValue: Self, newValue: Self)
}
