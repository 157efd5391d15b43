// SPDX-License-Identifier: Apache-2.0

public import CSubstrate
import Synchronization

/// The expensive half of an asymmetric barrier: every running thread of the process passes a full
/// fence before it returns.
///
/// Stores made with `Atomic.storeAsymmetric(_:)` before that fence are visible afterwards. About 1
/// µs when no other thread runs. Kernel counterpart: `membarrier(2)`,
/// `MEMBARRIER_CMD_PRIVATE_EXPEDITED`.
@inlinable
public func membarrier(file: StaticString = #filePath, line: UInt = #line) {
    if let observer = Watch.observer {
        _ = observer.perform(
            Operation(.membarrier, 0, .sequentiallyConsistent, site: Site(file, line)))
        return
    }
    Membarrier.issue()
}

/// Orders this thread's operations across it, as `atomicMemoryFence` of the standard library does.
@_semantics("atomics.requires_constant_orderings")
@_transparent
public func atomicMemoryFence(
    ordering: AtomicUpdateOrdering, file: StaticString = #filePath, line: UInt = #line
) {
    if let observer = Watch.observer {
        _ = observer.perform(Operation(.fence, 0, MemoryOrder(ordering), site: Site(file, line)))
        return
    }
    Synchronization.atomicMemoryFence(ordering: ordering)
}

/// How this process gets its asymmetric barriers.
public enum Membarrier: String, Sendable {
    /// The system call: asymmetric stores cost nothing.
    case expedited
    /// The system call is refused: every asymmetric store is followed by a full fence.
    case fencedStores

    /// The way that is used. Decided once, when the first asymmetric operation asks.
    public static var support: Membarrier { Decision.support }

    @usableFromInline
    enum Decision {
        static let support: Membarrier = quiesce_membarrier_register() ? .expedited : .fencedStores
        @usableFromInline static let needsFence: Bool = support == .fencedStores
    }

    @inlinable
    @inline(__always)
    static func followAsymmetricStore() {
        if _slowPath(Decision.needsFence) { fence() } else { quiesce_compiler_barrier() }
    }

    @usableFromInline
    static func fence() {
        Synchronization.atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    @usableFromInline
    static func issue() {
        Synchronization.atomicMemoryFence(ordering: .sequentiallyConsistent)
        if support == .expedited, !quiesce_membarrier() {
            fatalError(
                "membarrier(2) was granted and is now refused; stores that relied on it are not ordered"
            )
        }
    }
}
