// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Tells an object that it is the copy in a forked child.
package struct ForkWitness: ~Copyable, Sendable {
    /// The generation of the process that the object was last right for.
    private let seen = Synchronization.Atomic<UInt32>(World.generation)

    private static let repairs = ForkLock(())

    package init() {}

    /// Calls `repair` if the process was forked since the object was made or this was last called.
    ///
    /// Of several threads one calls it, and the others wait. `repair` makes the object right for the
    /// child, where nothing of the parent runs but the thread that forked.
    @inline(__always)
    package func afterFork(_ repair: () -> Void) {
        guard seen.load(ordering: .acquiring) != World.generation else { return }
        ForkSection.run {
            Self.repairs.withLock { _ in
                guard seen.load(ordering: .relaxed) != World.generation else { return }
                repair()
                seen.store(World.generation, ordering: .releasing)
            }
        }
    }

    /// Makes the lock, so that no thread is making it when another forks.
    static func prepare() { repairs.withLock { _ in } }
}
