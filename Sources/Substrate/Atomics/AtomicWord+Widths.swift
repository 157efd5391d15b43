// SPDX-License-Identifier: Apache-2.0

public import Synchronization

// The same five forwards for each width: the standard library has no protocol that spans them.

extension _Atomic8BitStorage: AtomicWord {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func load<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, ordering: AtomicLoadOrdering
    ) -> Value where Value.AtomicRepresentation == Self {
        atomic.load(ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func store<Value>(
        _ desired: consuming Value, to atomic: borrowing Synchronization.Atomic<Value>,
        ordering: AtomicStoreOrdering
    ) where Value.AtomicRepresentation == Self {
        atomic.store(desired, ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func exchange<Value>(
        _ desired: consuming Value, in atomic: borrowing Synchronization.Atomic<Value>,
        ordering: AtomicUpdateOrdering
    ) -> Value where Value.AtomicRepresentation == Self {
        atomic.exchange(desired, ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func compareExchange<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, expected: consuming Value,
        desired: consuming Value,
        successOrdering: AtomicUpdateOrdering, failureOrdering: AtomicLoadOrdering
    ) -> (exchanged: Bool, original: Value) where Value.AtomicRepresentation == Self {
        atomic.compareExchange(
            expected: expected, desired: desired, successOrdering: successOrdering,
            failureOrdering: failureOrdering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func weakCompareExchange<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, expected: consuming Value,
        desired: consuming Value,
        successOrdering: AtomicUpdateOrdering, failureOrdering: AtomicLoadOrdering
    ) -> (exchanged: Bool, original: Value) where Value.AtomicRepresentation == Self {
        atomic.weakCompareExchange(
            expected: expected, desired: desired, successOrdering: successOrdering,
            failureOrdering: failureOrdering)
    }
}

extension _Atomic16BitStorage: AtomicWord {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func load<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, ordering: AtomicLoadOrdering
    ) -> Value where Value.AtomicRepresentation == Self {
        atomic.load(ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func store<Value>(
        _ desired: consuming Value, to atomic: borrowing Synchronization.Atomic<Value>,
        ordering: AtomicStoreOrdering
    ) where Value.AtomicRepresentation == Self {
        atomic.store(desired, ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func exchange<Value>(
        _ desired: consuming Value, in atomic: borrowing Synchronization.Atomic<Value>,
        ordering: AtomicUpdateOrdering
    ) -> Value where Value.AtomicRepresentation == Self {
        atomic.exchange(desired, ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func compareExchange<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, expected: consuming Value,
        desired: consuming Value,
        successOrdering: AtomicUpdateOrdering, failureOrdering: AtomicLoadOrdering
    ) -> (exchanged: Bool, original: Value) where Value.AtomicRepresentation == Self {
        atomic.compareExchange(
            expected: expected, desired: desired, successOrdering: successOrdering,
            failureOrdering: failureOrdering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func weakCompareExchange<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, expected: consuming Value,
        desired: consuming Value,
        successOrdering: AtomicUpdateOrdering, failureOrdering: AtomicLoadOrdering
    ) -> (exchanged: Bool, original: Value) where Value.AtomicRepresentation == Self {
        atomic.weakCompareExchange(
            expected: expected, desired: desired, successOrdering: successOrdering,
            failureOrdering: failureOrdering)
    }
}

extension _Atomic32BitStorage: AtomicWord {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func load<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, ordering: AtomicLoadOrdering
    ) -> Value where Value.AtomicRepresentation == Self {
        atomic.load(ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func store<Value>(
        _ desired: consuming Value, to atomic: borrowing Synchronization.Atomic<Value>,
        ordering: AtomicStoreOrdering
    ) where Value.AtomicRepresentation == Self {
        atomic.store(desired, ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func exchange<Value>(
        _ desired: consuming Value, in atomic: borrowing Synchronization.Atomic<Value>,
        ordering: AtomicUpdateOrdering
    ) -> Value where Value.AtomicRepresentation == Self {
        atomic.exchange(desired, ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func compareExchange<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, expected: consuming Value,
        desired: consuming Value,
        successOrdering: AtomicUpdateOrdering, failureOrdering: AtomicLoadOrdering
    ) -> (exchanged: Bool, original: Value) where Value.AtomicRepresentation == Self {
        atomic.compareExchange(
            expected: expected, desired: desired, successOrdering: successOrdering,
            failureOrdering: failureOrdering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func weakCompareExchange<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, expected: consuming Value,
        desired: consuming Value,
        successOrdering: AtomicUpdateOrdering, failureOrdering: AtomicLoadOrdering
    ) -> (exchanged: Bool, original: Value) where Value.AtomicRepresentation == Self {
        atomic.weakCompareExchange(
            expected: expected, desired: desired, successOrdering: successOrdering,
            failureOrdering: failureOrdering)
    }
}

extension _Atomic64BitStorage: AtomicWord {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func load<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, ordering: AtomicLoadOrdering
    ) -> Value where Value.AtomicRepresentation == Self {
        atomic.load(ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func store<Value>(
        _ desired: consuming Value, to atomic: borrowing Synchronization.Atomic<Value>,
        ordering: AtomicStoreOrdering
    ) where Value.AtomicRepresentation == Self {
        atomic.store(desired, ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func exchange<Value>(
        _ desired: consuming Value, in atomic: borrowing Synchronization.Atomic<Value>,
        ordering: AtomicUpdateOrdering
    ) -> Value where Value.AtomicRepresentation == Self {
        atomic.exchange(desired, ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func compareExchange<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, expected: consuming Value,
        desired: consuming Value,
        successOrdering: AtomicUpdateOrdering, failureOrdering: AtomicLoadOrdering
    ) -> (exchanged: Bool, original: Value) where Value.AtomicRepresentation == Self {
        atomic.compareExchange(
            expected: expected, desired: desired, successOrdering: successOrdering,
            failureOrdering: failureOrdering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func weakCompareExchange<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, expected: consuming Value,
        desired: consuming Value,
        successOrdering: AtomicUpdateOrdering, failureOrdering: AtomicLoadOrdering
    ) -> (exchanged: Bool, original: Value) where Value.AtomicRepresentation == Self {
        atomic.weakCompareExchange(
            expected: expected, desired: desired, successOrdering: successOrdering,
            failureOrdering: failureOrdering)
    }
}

extension _Atomic128BitStorage: AtomicWord {
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func load<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, ordering: AtomicLoadOrdering
    ) -> Value where Value.AtomicRepresentation == Self {
        atomic.load(ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func store<Value>(
        _ desired: consuming Value, to atomic: borrowing Synchronization.Atomic<Value>,
        ordering: AtomicStoreOrdering
    ) where Value.AtomicRepresentation == Self {
        atomic.store(desired, ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func exchange<Value>(
        _ desired: consuming Value, in atomic: borrowing Synchronization.Atomic<Value>,
        ordering: AtomicUpdateOrdering
    ) -> Value where Value.AtomicRepresentation == Self {
        atomic.exchange(desired, ordering: ordering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func compareExchange<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, expected: consuming Value,
        desired: consuming Value,
        successOrdering: AtomicUpdateOrdering, failureOrdering: AtomicLoadOrdering
    ) -> (exchanged: Bool, original: Value) where Value.AtomicRepresentation == Self {
        atomic.compareExchange(
            expected: expected, desired: desired, successOrdering: successOrdering,
            failureOrdering: failureOrdering)
    }

    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public static func weakCompareExchange<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, expected: consuming Value,
        desired: consuming Value,
        successOrdering: AtomicUpdateOrdering, failureOrdering: AtomicLoadOrdering
    ) -> (exchanged: Bool, original: Value) where Value.AtomicRepresentation == Self {
        atomic.weakCompareExchange(
            expected: expected, desired: desired, successOrdering: successOrdering,
            failureOrdering: failureOrdering)
    }
}
