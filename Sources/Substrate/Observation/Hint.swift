// SPDX-License-Identifier: Apache-2.0

public import CSubstrate
public import Synchronization

/// A word that advises: what is done on its word must be right whatever it says.
///
/// It is read without being seen, and while explored says 0, so that it adds no steps.
@usableFromInline
package struct Hint: ~Copyable, Sendable {
    @usableFromInline let word = Synchronization.Atomic<UInt32>(0)

    @inlinable
    package init() {}

    /// What was said last, by some thread. Relaxed.
    package var value: UInt32 {
        @inlinable get { Watch.observer == nil ? word.load(ordering: .relaxed) : 0 }
        @inlinable nonmutating set { word.store(newValue, ordering: .relaxed) }
    }

    /// The time in nanoseconds, for advice; 0 while explored.
    @inlinable
    package static var nanoseconds: UInt64 {
        Watch.observer == nil ? quiesce_monotonic_nanoseconds() : 0
    }

    /// Says that the beginning of an object, two cache lines, will soon be used, which may be in
    /// another processor's cache.
    @inlinable
    @inline(__always)
    package static func willUse<Object: AnyObject>(_ object: Unmanaged<Object>) {
        unsafe quiesce_prefetch(object.toOpaque())
        unsafe quiesce_prefetch(object.toOpaque() + 64)
    }
}
