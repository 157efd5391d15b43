// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@Suite struct BarriersTests {
    @Test func `the way that barriers are issued has a name`() {
        #expect([Membarrier.expedited, .fencedStores].contains(Membarrier.support))
        #expect(Membarrier(rawValue: Membarrier.support.rawValue) == Membarrier.support)
        #expect(["expedited", "fencedStores"].contains(Membarrier.support.rawValue))
    }

    @Test func `barriers and fences return`() {
        membarrier()
        membarrier()
        atomicMemoryFence(ordering: .acquiring)
        atomicMemoryFence(ordering: .releasing)
        atomicMemoryFence(ordering: .acquiringAndReleasing)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    @Test func `an asymmetric store becomes visible to others`() throws {
        let flag = Atomic<Bool>(false)
        let data = Unsynchronized(0)
        let thread = try WorldThread.spawn {
            data.store(42)
            flag.storeAsymmetric(true)
        }
        spin { !flag.load(ordering: .acquiring) }
        let seen = data.load()
        thread.join()
        #expect(seen == 42)
    }
}
