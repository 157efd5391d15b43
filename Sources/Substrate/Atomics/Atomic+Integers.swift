// SPDX-License-Identifier: Apache-2.0

public import Synchronization

extension Atomic where Value: AtomicInteger {
    /// Adds `operand`, wrapping on overflow.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func wrappingAdd(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        if let observer = Watch.observer {
            return watchedInteger(
                observer, .wrappingAdd, operand, MemoryOrder(ordering), Site(file, line))
        }
        return Value.apply(.add, operand, to: raw, ordering: ordering)
    }

    /// Subtracts `operand`, wrapping on overflow.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func wrappingSubtract(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        if let observer = Watch.observer {
            return watchedInteger(
                observer, .wrappingSubtract, operand, MemoryOrder(ordering), Site(file, line))
        }
        return Value.apply(.subtract, operand, to: raw, ordering: ordering)
    }

    /// Adds `operand`; traps on overflow.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func add(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        if let observer = Watch.observer {
            return watchedUpdate(observer, MemoryOrder(ordering), Site(file, line)) {
                $0 + operand
            }
        }
        return loop(ordering: ordering) { $0 + operand }
    }

    /// Subtracts `operand`; traps on overflow.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func subtract(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        if let observer = Watch.observer {
            return watchedUpdate(observer, MemoryOrder(ordering), Site(file, line)) {
                $0 - operand
            }
        }
        return loop(ordering: ordering) { $0 - operand }
    }

    /// Clears the bits that `operand` lacks.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func bitwiseAnd(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        if let observer = Watch.observer {
            return watchedInteger(observer, .and, operand, MemoryOrder(ordering), Site(file, line))
        }
        return Value.apply(.and, operand, to: raw, ordering: ordering)
    }

    /// Sets the bits that `operand` has.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func bitwiseOr(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        if let observer = Watch.observer {
            return watchedInteger(observer, .or, operand, MemoryOrder(ordering), Site(file, line))
        }
        return Value.apply(.or, operand, to: raw, ordering: ordering)
    }

    /// Flips the bits that `operand` has.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func bitwiseXor(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        if let observer = Watch.observer {
            return watchedInteger(observer, .xor, operand, MemoryOrder(ordering), Site(file, line))
        }
        return Value.apply(.xor, operand, to: raw, ordering: ordering)
    }

    /// Stores the smaller of the value and `operand`.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func min(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        if let observer = Watch.observer {
            return watchedUpdate(observer, MemoryOrder(ordering), Site(file, line)) {
                Swift.min($0, operand)
            }
        }
        return loop(ordering: ordering) { Swift.min($0, operand) }
    }

    /// Stores the larger of the value and `operand`.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func max(
        _ operand: Value, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
        if let observer = Watch.observer {
            return watchedUpdate(observer, MemoryOrder(ordering), Site(file, line)) {
                Swift.max($0, operand)
            }
        }
        return loop(ordering: ordering) { Swift.max($0, operand) }
    }

    /// What has no instruction of its own: load, compute, compare-exchange until nobody came
    /// between.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @usableFromInline
    borrowing func loop(
        ordering: AtomicUpdateOrdering, _ update: (Value) -> Value
    ) -> (oldValue: Value, newValue: Value) {
        var old = Value.AtomicRepresentation.load(raw, ordering: .relaxed)
        while true {
            let new = update(old)
            let (exchanged, original) = Value.AtomicRepresentation.weakCompareExchange(
                raw, expected: old, desired: new, successOrdering: ordering,
                failureOrdering: .relaxed)
            if exchanged { return (old, new) }
            old = original
        }
    }
}

extension Atomic where Value == Bool {
    /// Stores `value && operand`.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func logicalAnd(
        _ operand: Bool, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> (oldValue: Bool, newValue: Bool) {
        if let observer = Watch.observer {
            return watchedUpdate(observer, MemoryOrder(ordering), Site(file, line)) {
                $0 && operand
            }
        }
        return raw.logicalAnd(operand, ordering: ordering)
    }

    /// Stores `value || operand`.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func logicalOr(
        _ operand: Bool, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> (oldValue: Bool, newValue: Bool) {
        if let observer = Watch.observer {
            return watchedUpdate(observer, MemoryOrder(ordering), Site(file, line)) {
                $0 || operand
            }
        }
        return raw.logicalOr(operand, ordering: ordering)
    }

    /// Stores whether exactly one of the value and `operand` holds.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func logicalXor(
        _ operand: Bool, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> (oldValue: Bool, newValue: Bool) {
        if let observer = Watch.observer {
            return watchedUpdate(observer, MemoryOrder(ordering), Site(file, line)) {
                $0 != operand
            }
        }
        return raw.logicalXor(operand, ordering: ordering)
    }
}
