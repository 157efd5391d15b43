// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// The values of one thread, by the numbers of their variables.
@safe
@usableFromInline
final class ThreadLocalTable {
    @safe
    @usableFromInline
    struct Slot {
        /// The generation of the variable; 0 while the slot is empty.
        @usableFromInline var generation: UInt64 = 0
        @usableFromInline var value: UnsafeMutableRawPointer?
        var destroy: ((UnsafeMutableRawPointer) -> Void)?

        init() { unsafe value = nil }
    }

    // Unchecked: the thread's own, and an access ends before anything else is called.
    @usableFromInline @exclusivity(unchecked) var slots: UnsafeMutablePointer<Slot>
    @usableFromInline @exclusivity(unchecked) var count: Int

    private init() {
        unsafe count = 8
        unsafe slots = Self.allocate(8)
    }

    private static func allocate(_ count: Int) -> UnsafeMutablePointer<Slot> {
        let made = UnsafeMutablePointer<Slot>.allocate(capacity: count)
        unsafe made.initialize(repeating: Slot(), count: count)
        return unsafe made
    }

    deinit {
        for index in unsafe 0..<count { drop(index) }
        unsafe slots.deinitialize(count: count)
        unsafe slots.deallocate()
    }

    /// The table of the running thread.
    static func current() -> ThreadLocalTable {
        let block = unsafe quiesce_current_block()
        if let pointer = unsafe block.pointee.locals {
            return unsafe Unmanaged<ThreadLocalTable>.fromOpaque(pointer).takeUnretainedValue()
        }
        // An explored thread's table is released by its explorer; an ordinary one's when the thread
        // ends.
        if unsafe block.pointee.observer == nil { World.registerCurrentThread() }
        let table = ThreadLocalTable()
        unsafe block.pointee.locals = Unmanaged.passRetained(table).toOpaque()
        return table
    }

    /// Where the value of a variable is; nil when the thread has none.
    @inlinable
    @inline(__always)
    func find(_ number: ThreadLocalNumber) -> UnsafeMutableRawPointer? {
        guard unsafe number.index < count,
            unsafe slots[number.index].generation == number.generation
        else { return nil }
        return unsafe slots[number.index].value
    }

    /// Destroys the value of an earlier variable that had the same index.
    func dropPredecessor(of number: ThreadLocalNumber) {
        if unsafe number.index < count { drop(number.index) }
    }

    func insert(
        _ value: UnsafeMutableRawPointer, _ number: ThreadLocalNumber,
        destroy: @escaping (UnsafeMutableRawPointer) -> Void
    ) {
        if unsafe number.index >= count { grow(to: number.index + 1) }
        var slot = Slot()
        slot.generation = number.generation
        unsafe slot.value = unsafe value
        unsafe slot.destroy = destroy
        unsafe slots[number.index] = slot
    }

    private func drop(_ index: Int) {
        guard let value = unsafe slots[index].value else { return }
        let destroy = unsafe slots[index].destroy
        // Emptied first: the value may use other variables when it is destroyed.
        unsafe slots[index] = Slot()
        unsafe destroy?(value)
    }

    private func grow(to least: Int) {
        let larger = unsafe max(least, 2 * count)
        let made = unsafe Self.allocate(larger)
        unsafe made.update(from: slots, count: count)
        unsafe slots.deinitialize(count: count)
        unsafe slots.deallocate()
        unsafe slots = unsafe made
        unsafe count = larger
    }
}
