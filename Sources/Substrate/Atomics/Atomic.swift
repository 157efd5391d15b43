// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// An atomic value: `Synchronization.Atomic`, visible to an observer of the thread.
///
/// Unwatched, an operation is one predicted branch and the standard library's own operation.
/// Watched, it is a step that a checker can schedule. While explored, executions are sequentially
/// consistent; the declared orders decide which plain memory an operation publishes.
///
/// Kernel counterpart: `atomic_t`.
@frozen
public struct Atomic<Value: AtomicRepresentable>: ~Copyable
where Value.AtomicRepresentation: AtomicWord {
    @usableFromInline
    let raw: Synchronization.Atomic<Value>

    /// An atomic that holds `initialValue`.
    @inlinable
    public init(_ initialValue: consuming Value) {
        raw = Synchronization.Atomic(initialValue)
    }

    /// What identifies this object to an observer.
    @usableFromInline
    var address: UInt {
        @inlinable get { unsafe withUnsafePointer(to: raw) { UInt(bitPattern: $0) } }
    }

    /// Names this object in traces and begins its life.
    ///
    /// Call it once, in the initializer of its owner: see <doc:MemoryAndObservation#Labels>.
    @inlinable
    public func label(_ name: @autoclosure () -> String) {
        if let observer = Watch.observer { observer.label(address, name) }
    }
}

// Shared by reference: every access of the value is atomic, or goes through the observer of its
// thread.
extension Atomic: @unchecked Sendable {}

// MARK: - Access

extension Atomic {
    /// The current value.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public borrowing func load(
        ordering: AtomicLoadOrdering, file: StaticString = #filePath, line: UInt = #line
    ) -> Value {
        if let observer = Watch.observer {
            return watchedLoad(observer, MemoryOrder(ordering), Site(file, line))
        }
        return Value.AtomicRepresentation.load(raw, ordering: ordering)
    }

    /// Replaces the value by `desired`.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    public borrowing func store(
        _ desired: consuming Value, ordering: AtomicStoreOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) {
        if let observer = Watch.observer {
            return watchedStore(observer, .store, desired, MemoryOrder(ordering), Site(file, line))
        }
        Value.AtomicRepresentation.store(desired, to: raw, ordering: ordering)
    }

    /// Replaces the value by `desired`; a thread that must see it at a certain point calls
    /// `membarrier()` there.
    ///
    /// A releasing store that the compiler keeps in its place and for which this thread pays no
    /// fence: the processor may delay it past later loads of this thread, until it drains its store
    /// buffer or another thread's `membarrier()` returns. Where the system refuses that call, the
    /// store is followed by a full fence.
    @_transparent
    public borrowing func storeAsymmetric(
        _ desired: consuming Value, file: StaticString = #filePath, line: UInt = #line
    ) {
        if let observer = Watch.observer {
            return watchedStore(observer, .asymmetricStore, desired, .releasing, Site(file, line))
        }
        Value.AtomicRepresentation.store(desired, to: raw, ordering: .releasing)
        Membarrier.followAsymmetricStore()
    }

    /// Replaces the value by `desired` and returns the one before.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func exchange(
        _ desired: consuming Value, ordering: AtomicUpdateOrdering, file: StaticString = #filePath,
        line: UInt = #line
    ) -> Value {
        if let observer = Watch.observer {
            return watchedExchange(observer, desired, MemoryOrder(ordering), Site(file, line))
        }
        return Value.AtomicRepresentation.exchange(desired, in: raw, ordering: ordering)
    }

    /// Replaces the value by `desired` if it is `expected`, with the same bits.
    ///
    /// - Returns: whether it was, and the value that was found.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func compareExchange(
        expected: consuming Value, desired: consuming Value, successOrdering: AtomicUpdateOrdering,
        failureOrdering: AtomicLoadOrdering, file: StaticString = #filePath, line: UInt = #line
    ) -> (exchanged: Bool, original: Value) {
        if let observer = Watch.observer {
            return watchedCompareExchange(
                observer, expected, desired, MemoryOrder(successOrdering),
                MemoryOrder(failureOrdering),
                Site(file, line))
        }
        return Value.AtomicRepresentation.compareExchange(
            raw, expected: expected, desired: desired, successOrdering: successOrdering,
            failureOrdering: failureOrdering)
    }

    /// Replaces the value by `desired` if it is `expected`; a failure loads with what remains of
    /// `ordering`.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func compareExchange(
        expected: consuming Value, desired: consuming Value, ordering: AtomicUpdateOrdering,
        file: StaticString = #filePath, line: UInt = #line
    ) -> (exchanged: Bool, original: Value) {
        if let observer = Watch.observer {
            let order = MemoryOrder(ordering)
            return watchedCompareExchange(
                observer, expected, desired, order, order.ofFailure, Site(file, line))
        }
        switch ordering {
        case .relaxed:
            return Value.AtomicRepresentation.compareExchange(
                raw, expected: expected, desired: desired, successOrdering: .relaxed,
                failureOrdering: .relaxed)
        case .acquiring:
            return Value.AtomicRepresentation.compareExchange(
                raw, expected: expected, desired: desired, successOrdering: .acquiring,
                failureOrdering: .acquiring)
        case .releasing:
            return Value.AtomicRepresentation.compareExchange(
                raw, expected: expected, desired: desired, successOrdering: .releasing,
                failureOrdering: .relaxed)
        case .acquiringAndReleasing:
            return Value.AtomicRepresentation.compareExchange(
                raw, expected: expected, desired: desired, successOrdering: .acquiringAndReleasing,
                failureOrdering: .acquiring)
        default:
            return Value.AtomicRepresentation.compareExchange(
                raw, expected: expected, desired: desired, successOrdering: .sequentiallyConsistent,
                failureOrdering: .sequentiallyConsistent)
        }
    }

    /// As `compareExchange`, but may fail although the value was `expected`. While explored it
    /// never does.
    @_semantics("atomics.requires_constant_orderings")
    @_transparent
    @discardableResult
    public borrowing func weakCompareExchange(
        expected: consuming Value, desired: consuming Value, successOrdering: AtomicUpdateOrdering,
        failureOrdering: AtomicLoadOrdering, file: StaticString = #filePath, line: UInt = #line
    ) -> (exchanged: Bool, original: Value) {
        if let observer = Watch.observer {
            return watchedCompareExchange(
                observer, expected, desired, MemoryOrder(successOrdering),
                MemoryOrder(failureOrdering),
                Site(file, line))
        }
        return Value.AtomicRepresentation.weakCompareExchange(
            raw, expected: expected, desired: desired, successOrdering: successOrdering,
            failureOrdering: failureOrdering)
    }
}

extension MemoryOrder {
    /// What remains of an update's order when it only loads.
    @inlinable
    public var ofFailure: MemoryOrder {
        switch self {
        case .relaxed, .releasing: .relaxed
        case .acquiring, .acquiringAndReleasing: .acquiring
        case .sequentiallyConsistent: .sequentiallyConsistent
        }
    }
}
