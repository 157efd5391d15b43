// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

/// A word that advises: what is done on its word must be right whatever it says.
///
/// It is read without being seen, and while explored says 0, so that it adds no steps.
public struct Hint: ~Copyable, Sendable {
    private let word = Synchronization.Atomic<UInt32>(0)

    public init() {}

    /// What was said last, by some thread. Relaxed.
    public var value: UInt32 {
        get { Watch.observer == nil ? word.load(ordering: .relaxed) : 0 }
        nonmutating set { word.store(newValue, ordering: .relaxed) }
    }

    /// The time in nanoseconds, for advice; 0 while explored.
    public static var nanoseconds: UInt64 { Watch.observer == nil ? quiesce_monotonic_nanoseconds() : 0 }
}
