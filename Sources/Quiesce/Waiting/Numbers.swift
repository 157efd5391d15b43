// SPDX-License-Identifier: Apache-2.0

import Substrate
import Synchronization

/// Numbers that no two things of a process share, and that ascend: for work items and for
/// resources. A queue or a scope takes many at a time.
struct Numbers {
    private var following: UInt64 = 0
    private var end: UInt64 = 0

    mutating func next() -> UInt64 {
        if following == end {
            following = Source.current.takeStock()
            end = following + Source.stock
        }
        defer { following += 1 }
        return following
    }

    /// Where a world's numbers come from. It goes on counting in a forked child, where what had
    /// one before lives on.
    final class Source: Sendable {
        static var current: Source { World.current.value(key) { Source() } }
        static let key = WorldKey<Source>()

        fileprivate static let stock: UInt64 = 1 << 20

        // Not watched: whatever the order, numbers differ, and that is all that anybody may rely
        // on.
        private let items = Synchronization.Atomic<UInt64>(1)
        private let queues = Synchronization.Atomic<UInt64>(0)

        fileprivate func takeStock() -> UInt64 {
            items.wrappingAdd(Self.stock, ordering: .relaxed).oldValue
        }

        // 2^46 of them can be told apart.
        func takeQueueNumber() -> UInt64 { queues.wrappingAdd(1, ordering: .relaxed).newValue }
    }
}
