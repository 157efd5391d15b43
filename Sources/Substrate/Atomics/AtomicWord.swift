// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A width that the processor reads and writes at once.
///
/// The standard library declares an atomic's methods once a width; this protocol makes one set of
/// them.
public protocol AtomicWord: BitwiseCopyable {
    static func load<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, ordering: AtomicLoadOrdering
    ) -> Value where Value.AtomicRepresentation == Self

    static func store<Value>(
        _ desired: consuming Value, to atomic: borrowing Synchronization.Atomic<Value>,
        ordering: AtomicStoreOrdering
    ) where Value.AtomicRepresentation == Self

    static func exchange<Value>(
        _ desired: consuming Value, in atomic: borrowing Synchronization.Atomic<Value>,
        ordering: AtomicUpdateOrdering
    ) -> Value where Value.AtomicRepresentation == Self

    static func compareExchange<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, expected: consuming Value,
        desired: consuming Value,
        successOrdering: AtomicUpdateOrdering, failureOrdering: AtomicLoadOrdering
    ) -> (exchanged: Bool, original: Value) where Value.AtomicRepresentation == Self

    static func weakCompareExchange<Value>(
        _ atomic: borrowing Synchronization.Atomic<Value>, expected: consuming Value,
        desired: consuming Value,
        successOrdering: AtomicUpdateOrdering, failureOrdering: AtomicLoadOrdering
    ) -> (exchanged: Bool, original: Value) where Value.AtomicRepresentation == Self
}
