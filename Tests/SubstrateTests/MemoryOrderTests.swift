// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@Suite struct MemoryOrderTests {
    @Test func `an order acquires, releases, both or neither`() {
        let orders: [MemoryOrder] = [
            .relaxed, .acquiring, .releasing, .acquiringAndReleasing, .sequentiallyConsistent,
        ]
        #expect(orders.map(\.acquires) == [false, true, false, true, true])
        #expect(orders.map(\.releases) == [false, false, true, true, true])
    }

    @Test func `a failed update keeps what concerns loads`() {
        #expect(MemoryOrder.relaxed.ofFailure == .relaxed)
        #expect(MemoryOrder.releasing.ofFailure == .relaxed)
        #expect(MemoryOrder.acquiring.ofFailure == .acquiring)
        #expect(MemoryOrder.acquiringAndReleasing.ofFailure == .acquiring)
        #expect(MemoryOrder.sequentiallyConsistent.ofFailure == .sequentiallyConsistent)
    }

    @Test func `every order of the standard library has its own`() {
        #expect(MemoryOrder(AtomicLoadOrdering.relaxed) == .relaxed)
        #expect(MemoryOrder(AtomicLoadOrdering.acquiring) == .acquiring)
        #expect(MemoryOrder(AtomicLoadOrdering.sequentiallyConsistent) == .sequentiallyConsistent)
        #expect(MemoryOrder(AtomicStoreOrdering.relaxed) == .relaxed)
        #expect(MemoryOrder(AtomicStoreOrdering.releasing) == .releasing)
        #expect(MemoryOrder(AtomicStoreOrdering.sequentiallyConsistent) == .sequentiallyConsistent)
        #expect(MemoryOrder(AtomicUpdateOrdering.relaxed) == .relaxed)
        #expect(MemoryOrder(AtomicUpdateOrdering.acquiring) == .acquiring)
        #expect(MemoryOrder(AtomicUpdateOrdering.releasing) == .releasing)
        #expect(MemoryOrder(AtomicUpdateOrdering.acquiringAndReleasing) == .acquiringAndReleasing)
        #expect(MemoryOrder(AtomicUpdateOrdering.sequentiallyConsistent) == .sequentiallyConsistent)
    }
}
