// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// The values of one thread, by the keys of their variables: a hash table, at most half full.
///
/// Keys are given out in order, so the low bits of a key say where its value is at home, and the
/// values of variables that were made together have homes side by side. A value whose home is taken
/// is in the next free slot.
@safe
@usableFromInline
final class ThreadLocalTable {
    @safe
    @usableFromInline
    struct Slot {
        /// The key of the variable; 0 while the slot is empty.
        @usableFromInline var key: UInt64 = 0
        @usableFromInline var value: UnsafeMutableRawPointer?
        var life: ThreadLocalLife?

        init() { unsafe value = nil }

        func destroy() {
            guard let value = unsafe value, let life else { return }
            unsafe life.destroy(value)
        }
    }

    // Unchecked: the thread's own, and an access ends before anything else is called.
    @usableFromInline @exclusivity(unchecked) var slots: UnsafeMutablePointer<Slot>
    /// The capacity, a power of 2, less 1.
    @usableFromInline @exclusivity(unchecked) var mask: UInt64
    private(set) var count = 0
    /// How many variables were gone when the table was last searched for their values.
    private var seenEnded = ThreadLocalLife.endedCount

    private static let least = 8

    private init() {
        unsafe mask = UInt64(Self.least - 1)
        unsafe slots = Self.allocate(Self.least)
    }

    private static func allocate(_ capacity: Int) -> UnsafeMutablePointer<Slot> {
        let made = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
        unsafe made.initialize(repeating: Slot(), count: capacity)
        return unsafe made
    }

    deinit {
        for index in 0..<capacity { unsafe slots[index].destroy() }
        unsafe slots.deinitialize(count: capacity)
        unsafe slots.deallocate()
    }

    /// How many values there is room for, were it full.
    var capacity: Int { unsafe Int(mask) + 1 }

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

    /// Destroys the running thread's value of a variable that is gone, if the thread has one.
    static func dropOwn(_ key: UInt64) {
        guard let pointer = unsafe quiesce_current_block().pointee.locals else { return }
        let table = unsafe Unmanaged<ThreadLocalTable>.fromOpaque(pointer).takeUnretainedValue()
        guard let index = table.index(of: key) else { return }
        // Taken out first: the value may use other variables when it is destroyed.
        table.remove(index).destroy()
    }

    // MARK: Finding

    /// Where the value of a variable is, if it is at home.
    @inlinable
    @inline(__always)
    func findAtHome(_ key: UInt64) -> UnsafeMutableRawPointer? {
        let slot = unsafe slots + Int(truncatingIfNeeded: key & mask)
        guard unsafe slot.pointee.key == key else { return nil }
        // A slot with a key has a value.
        return unsafe slot.pointee.value.unsafelyUnwrapped
    }

    /// Where the value of a variable is; nil when the thread has none.
    func find(_ key: UInt64) -> UnsafeMutableRawPointer? {
        guard let index = index(of: key) else { return nil }
        return unsafe slots[index].value
    }

    private func home(of key: UInt64) -> Int { unsafe Int(truncatingIfNeeded: key & mask) }
    private func next(_ index: Int) -> Int { unsafe (index + 1) & Int(mask) }

    private func index(of key: UInt64) -> Int? {
        var index = home(of: key)
        while unsafe slots[index].key != key {
            if unsafe slots[index].key == 0 { return nil }
            index = next(index)
        }
        return index
    }

    // MARK: Changing

    /// Adds the value of a variable of which the thread has none.
    func insert(_ value: UnsafeMutableRawPointer, _ key: UInt64, _ life: ThreadLocalLife) {
        if 2 * (count + 1) > capacity { move(to: 2 * capacity) }
        var slot = Slot()
        slot.key = key
        unsafe slot.value = unsafe value
        slot.life = life
        place(slot)
        count += 1
    }

    private func place(_ slot: Slot) {
        var index = home(of: slot.key)
        while unsafe slots[index].key != 0 { index = next(index) }
        unsafe slots[index] = slot
    }

    /// Takes a value out of the table.
    private func remove(_ index: Int) -> Slot {
        let removed = unsafe slots[index]
        var gap = index
        var following = next(gap)
        // What follows moves up, unless it is nearer to its home than the gap is.
        while unsafe slots[following].key != 0 {
            let home = unsafe home(of: slots[following].key)
            let distance = unsafe (following - home) & Int(mask)
            if unsafe distance >= (following - gap) & Int(mask) {
                unsafe slots[gap] = slots[following]
                gap = following
            }
            following = next(following)
        }
        unsafe slots[gap] = Slot()
        count -= 1
        shrink()
        return removed
    }

    private func shrink() {
        if capacity > Self.least, 16 * count < capacity { move(to: capacity / 4) }
    }

    private func move(to larger: Int) {
        let (former, formerCapacity) = unsafe (slots, capacity)
        let capacity = max(larger, Self.least)
        unsafe slots = Self.allocate(capacity)
        unsafe mask = UInt64(capacity - 1)
        for index in 0..<formerCapacity where unsafe former[index].key != 0 {
            unsafe place(former[index])
        }
        unsafe former.deinitialize(count: formerCapacity)
        unsafe former.deallocate()
    }

    /// Destroys the thread's values of variables that are gone, if so many are gone since this was
    /// last done that it pays.
    ///
    /// An explored thread keeps them: when variables of other threads and explorations end is none
    /// of its doings.
    func dropDead() {
        let ended = ThreadLocalLife.endedCount
        guard ended &- seenEnded >= UInt64(max(Self.least, count / 2)), Watch.observer == nil
        else { return }
        seenEnded = ended
        var dead: [Slot] = []
        for index in 0..<capacity {
            if unsafe slots[index].life?.isOver == true { unsafe dead.append(slots[index]) }
        }
        for slot in dead {
            if let index = index(of: slot.key) { _ = remove(index) }
        }
        // Nothing of the table is used from here on: the values may use it.
        for slot in dead { slot.destroy() }
    }
}
