// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A store that its thread has made and others do not see yet.
struct BufferedStore {
    var address: UInt
    var object: Int32
    var size: Int
    var bits: Bits
    /// The event of the store.
    var event: Int32
    var site: Site
    /// What the store publishes once it is visible; empty where races are not tracked.
    var published: [UInt32]

    /// Makes the store visible, and returns what it replaces.
    func perform() -> Bits {
        var old = Bits()
        guard let target = unsafe UnsafeMutableRawPointer(bitPattern: address) else { return old }
        unsafe withUnsafeMutableBytes(of: &old) {
            unsafe $0.baseAddress!.copyMemory(from: target, byteCount: size)
        }
        unsafe withUnsafeBytes(of: bits) {
            unsafe target.copyMemory(from: $0.baseAddress!, byteCount: size)
        }
        return old
    }
}

/// The store buffers of an execution: by thread, its stores that others do not see yet.
final class StoreBuffers {
    private struct Buffer {
        var stores: [BufferedStore] = []
        /// The addresses that the thread has ever stored to by way of its buffer.
        var addresses: [UInt] = []
    }

    private var buffers: [Buffer] = []
    /// How many stores are in all buffers.
    private(set) var count = 0
    /// Whether this execution has buffered a store.
    private var isUsed = false

    func beginExecution() {
        guard isUsed else { return }
        isUsed = false
        count = 0
        for index in buffers.indices {
            buffers[index].stores.removeAll(keepingCapacity: true)
            buffers[index].addresses.removeAll(keepingCapacity: true)
        }
    }

    /// `thread` is about to buffer a store to `address`.
    func prepare(_ thread: Int32, _ address: UInt) {
        isUsed = true
        while buffers.count <= Int(thread) { buffers.append(Buffer()) }
        if !buffers[Int(thread)].addresses.contains(address) {
            buffers[Int(thread)].addresses.append(address)
        }
    }

    /// Whether `thread` has ever stored to `address` by way of its buffer.
    func hasUsed(_ address: UInt, _ thread: Int32) -> Bool {
        Int(thread) < buffers.count && buffers[Int(thread)].addresses.contains(address)
    }

    /// The latest store of `thread` to `address` that is still on its way.
    func latest(to address: UInt, by thread: Int32) -> BufferedStore? {
        guard Int(thread) < buffers.count else { return nil }
        return buffers[Int(thread)].stores.last { $0.address == address }
    }

    func add(_ store: BufferedStore, by thread: Int32) {
        buffers[Int(thread)].stores.append(store)
        count += 1
    }

    /// Takes the oldest store of `thread` out.
    func takeOldest(of thread: Int32) -> BufferedStore {
        count -= 1
        return buffers[Int(thread)].stores.removeFirst()
    }
}
