// SPDX-License-Identifier: Apache-2.0

import Substrate
import TestSupport
import Testing

private struct Node: ~Copyable {
    let count = Atomic<Int>(0)
    let plain = Unsynchronized(0)
    let deaths: Counter
    deinit { deaths.count.add(1, ordering: .relaxed) }
}

@Suite struct StorageTests {
    @Test func `what is written is read through every copy`() {
        let storage = Storage.allocate("a")
        let copy = storage
        #expect(storage == copy)
        copy.write("b")
        #expect(storage.read() == "b")
        unsafe storage.free()
    }

    @Test func `two allocations that live together differ`() {
        let first = Storage.allocate(1, name: "first")
        let second = Storage.allocate(1, name: "second")
        #expect(first != second)
        unsafe first.free()
        unsafe second.free()
    }

    @Test func `a value that cannot be copied is used in place and dies when it is freed`() throws {
        let deaths = Counter()
        let node = Storage.allocate(Node(deaths: deaths))
        try together(4) { _ in
            for _ in 0..<100 { node.pointee.count.add(1, ordering: .relaxed) }
        }
        node.pointee.plain.store(5)
        #expect(node.pointee.count.load(ordering: .relaxed) == 400)
        #expect(node.pointee.plain.load() == 5)
        #expect(deaths.count.load(ordering: .relaxed) == 0)
        unsafe node.free()
        #expect(deaths.count.load(ordering: .relaxed) == 1)
    }

    @Test func `a storage is as large as a pointer`() {
        #expect(MemoryLayout<Storage<(Int, Int, Int)>>.size == MemoryLayout<UInt>.size)
    }
}
