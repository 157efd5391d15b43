// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// The memory order that an operation declares, as an observer sees it.
public enum MemoryOrder: UInt8, Sendable, BitwiseCopyable {
    case relaxed, acquiring, releasing, acquiringAndReleasing, sequentiallyConsistent

    /// Whether what other threads released before becomes visible.
    @inlinable public var acquires: Bool { self != .relaxed && self != .releasing }
    /// Whether what this thread did before becomes visible to threads that acquire.
    @inlinable public var releases: Bool { self != .relaxed && self != .acquiring }

    @inlinable
    public init(_ ordering: AtomicLoadOrdering) {
        switch ordering {
        case .relaxed: self = .relaxed
        case .acquiring: self = .acquiring
        default: self = .sequentiallyConsistent
        }
    }

    @inlinable
    public init(_ ordering: AtomicStoreOrdering) {
        switch ordering {
        case .relaxed: self = .relaxed
        case .releasing: self = .releasing
        default: self = .sequentiallyConsistent
        }
    }

    @inlinable
    public init(_ ordering: AtomicUpdateOrdering) {
        switch ordering {
        case .relaxed: self = .relaxed
        case .acquiring: self = .acquiring
        case .releasing: self = .releasing
        case .acquiringAndReleasing: self = .acquiringAndReleasing
        default: self = .sequentiallyConsistent
        }
    }
}
