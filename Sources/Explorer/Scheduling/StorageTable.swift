// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The manually managed memory of one execution. Freed memory is kept until the execution ends.
@safe
final class StorageTable {
    @safe
    struct Block {
        var base: UInt
        var size: Int
        /// The object that stands for the block's lifetime: accesses read it, the free writes it.
        var lifetime: Int32
        var name: String
        var isFreed = false
        /// Where a recorder has the allocation and the free; -1 when nobody records.
        var allocated: Int32 = -1
        var freed: Int32 = -1
        var freedBy: Int32 = -1
        var site: Site
        var isReused = false
        /// Whether the memory had another life before.
        var isSecondLife = false
        /// Whether the memory is somebody else's to give back, and which object in it may be used
        /// late; 0 for none.
        var isAdopted = false
        var exempt: UInt = 0
        var destroy: (UnsafeMutableRawPointer) -> Void
    }

    private(set) var blocks: [Block] = []

    subscript(index: Int) -> Block {
        get { blocks[index] }
        set { blocks[index] = newValue }
    }

    /// Kept beside the blocks, as it is asked for at every step.
    private(set) var isEmpty = true

    func add(_ block: Block) {
        blocks.append(block)
        isEmpty = false
    }

    /// The block that holds `address`, the youngest where addresses are reused.
    func block(at address: UInt) -> Int? {
        blocks.lastIndex { address >= $0.base && address < $0.base + UInt(max($0.size, 1)) }
    }

    func block(withLifetime lifetime: Int32) -> Int? {
        blocks.firstIndex { $0.lifetime == lifetime }
    }

    /// The life of what is at `address` ends while nobody explores. False where it is not known:
    /// then the thread that ends it gives the memory back.
    func endLife(at address: UInt) -> Bool {
        guard let index = block(at: address) else { return false }
        blocks[index].isFreed = true
        return true
    }

    /// Ends every value's life and gives all memory back, but for adopted objects that somebody
    /// still has references to: the thread that drops the last one later releases the object.
    func destroyAll() {
        defer {
            blocks.removeAll()
            isEmpty = true
        }
        // What one object drops at its end may be the last reference to another.
        while let index = blocks.lastIndex(where: { !$0.isAdopted || $0.isFreed }) {
            let block = blocks.remove(at: index)
            if block.isReused { continue }
            guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: block.base) else {
                continue
            }
            unsafe block.destroy(pointer)
            if !block.isAdopted { unsafe pointer.deallocate() }
        }
    }
}
