// SPDX-License-Identifier: Apache-2.0

public import Synchronization

// The same forward for each integer: the standard library declares these methods once a type.

extension Int: AtomicInteger {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func apply(
        _ operation: AtomicIntegerOperation, _ operand: Self,
        to atomic: borrowing Synchronization.Atomic<Self>,
        ordering: AtomicUpdateOrdering
    ) -> (oldValue: Self, newValue: Self) {
        switch operation {
        case .add: atomic.wrappingAdd(operand, ordering: ordering)
        case .subtract: atomic.wrappingSubtract(operand, ordering: ordering)
        case .and: atomic.bitwiseAnd(operand, ordering: ordering)
        case .or: atomic.bitwiseOr(operand, ordering: ordering)
        case .xor: atomic.bitwiseXor(operand, ordering: ordering)
        }
    }
}

extension Int8: AtomicInteger {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func apply(
        _ operation: AtomicIntegerOperation, _ operand: Self,
        to atomic: borrowing Synchronization.Atomic<Self>,
        ordering: AtomicUpdateOrdering
    ) -> (oldValue: Self, newValue: Self) {
        switch operation {
        case .add: atomic.wrappingAdd(operand, ordering: ordering)
        case .subtract: atomic.wrappingSubtract(operand, ordering: ordering)
        case .and: atomic.bitwiseAnd(operand, ordering: ordering)
        case .or: atomic.bitwiseOr(operand, ordering: ordering)
        case .xor: atomic.bitwiseXor(operand, ordering: ordering)
        }
    }
}

extension Int16: AtomicInteger {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func apply(
        _ operation: AtomicIntegerOperation, _ operand: Self,
        to atomic: borrowing Synchronization.Atomic<Self>,
        ordering: AtomicUpdateOrdering
    ) -> (oldValue: Self, newValue: Self) {
        switch operation {
        case .add: atomic.wrappingAdd(operand, ordering: ordering)
        case .subtract: atomic.wrappingSubtract(operand, ordering: ordering)
        case .and: atomic.bitwiseAnd(operand, ordering: ordering)
        case .or: atomic.bitwiseOr(operand, ordering: ordering)
        case .xor: atomic.bitwiseXor(operand, ordering: ordering)
        }
    }
}

extension Int32: AtomicInteger {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func apply(
        _ operation: AtomicIntegerOperation, _ operand: Self,
        to atomic: borrowing Synchronization.Atomic<Self>,
        ordering: AtomicUpdateOrdering
    ) -> (oldValue: Self, newValue: Self) {
        switch operation {
        case .add: atomic.wrappingAdd(operand, ordering: ordering)
        case .subtract: atomic.wrappingSubtract(operand, ordering: ordering)
        case .and: atomic.bitwiseAnd(operand, ordering: ordering)
        case .or: atomic.bitwiseOr(operand, ordering: ordering)
        case .xor: atomic.bitwiseXor(operand, ordering: ordering)
        }
    }
}

extension Int64: AtomicInteger {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func apply(
        _ operation: AtomicIntegerOperation, _ operand: Self,
        to atomic: borrowing Synchronization.Atomic<Self>,
        ordering: AtomicUpdateOrdering
    ) -> (oldValue: Self, newValue: Self) {
        switch operation {
        case .add: atomic.wrappingAdd(operand, ordering: ordering)
        case .subtract: atomic.wrappingSubtract(operand, ordering: ordering)
        case .and: atomic.bitwiseAnd(operand, ordering: ordering)
        case .or: atomic.bitwiseOr(operand, ordering: ordering)
        case .xor: atomic.bitwiseXor(operand, ordering: ordering)
        }
    }
}

extension UInt: AtomicInteger {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func apply(
        _ operation: AtomicIntegerOperation, _ operand: Self,
        to atomic: borrowing Synchronization.Atomic<Self>,
        ordering: AtomicUpdateOrdering
    ) -> (oldValue: Self, newValue: Self) {
        switch operation {
        case .add: atomic.wrappingAdd(operand, ordering: ordering)
        case .subtract: atomic.wrappingSubtract(operand, ordering: ordering)
        case .and: atomic.bitwiseAnd(operand, ordering: ordering)
        case .or: atomic.bitwiseOr(operand, ordering: ordering)
        case .xor: atomic.bitwiseXor(operand, ordering: ordering)
        }
    }
}

extension UInt8: AtomicInteger {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func apply(
        _ operation: AtomicIntegerOperation, _ operand: Self,
        to atomic: borrowing Synchronization.Atomic<Self>,
        ordering: AtomicUpdateOrdering
    ) -> (oldValue: Self, newValue: Self) {
        switch operation {
        case .add: atomic.wrappingAdd(operand, ordering: ordering)
        case .subtract: atomic.wrappingSubtract(operand, ordering: ordering)
        case .and: atomic.bitwiseAnd(operand, ordering: ordering)
        case .or: atomic.bitwiseOr(operand, ordering: ordering)
        case .xor: atomic.bitwiseXor(operand, ordering: ordering)
        }
    }
}

extension UInt16: AtomicInteger {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func apply(
        _ operation: AtomicIntegerOperation, _ operand: Self,
        to atomic: borrowing Synchronization.Atomic<Self>,
        ordering: AtomicUpdateOrdering
    ) -> (oldValue: Self, newValue: Self) {
        switch operation {
        case .add: atomic.wrappingAdd(operand, ordering: ordering)
        case .subtract: atomic.wrappingSubtract(operand, ordering: ordering)
        case .and: atomic.bitwiseAnd(operand, ordering: ordering)
        case .or: atomic.bitwiseOr(operand, ordering: ordering)
        case .xor: atomic.bitwiseXor(operand, ordering: ordering)
        }
    }
}

extension UInt32: AtomicInteger {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func apply(
        _ operation: AtomicIntegerOperation, _ operand: Self,
        to atomic: borrowing Synchronization.Atomic<Self>,
        ordering: AtomicUpdateOrdering
    ) -> (oldValue: Self, newValue: Self) {
        switch operation {
        case .add: atomic.wrappingAdd(operand, ordering: ordering)
        case .subtract: atomic.wrappingSubtract(operand, ordering: ordering)
        case .and: atomic.bitwiseAnd(operand, ordering: ordering)
        case .or: atomic.bitwiseOr(operand, ordering: ordering)
        case .xor: atomic.bitwiseXor(operand, ordering: ordering)
        }
    }
}

extension UInt64: AtomicInteger {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func apply(
        _ operation: AtomicIntegerOperation, _ operand: Self,
        to atomic: borrowing Synchronization.Atomic<Self>,
        ordering: AtomicUpdateOrdering
    ) -> (oldValue: Self, newValue: Self) {
        switch operation {
        case .add: atomic.wrappingAdd(operand, ordering: ordering)
        case .subtract: atomic.wrappingSubtract(operand, ordering: ordering)
        case .and: atomic.bitwiseAnd(operand, ordering: ordering)
        case .or: atomic.bitwiseOr(operand, ordering: ordering)
        case .xor: atomic.bitwiseXor(operand, ordering: ordering)
        }
    }
}
