// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What is pending, in the order of its tickets. Its owner's lock protects it.
///
/// An item is found by its ticket; one that is taken out of the middle leaves a gap, until there
/// are more gaps than items. So what is pending costs four words, gaps included at most eight. An
/// item is kept by one reference, which belongs to its being pending.
@safe
struct WorkList: ~Copyable, @unchecked Sendable {
    // Unchecked: an item is Sendable, and kept.
    private var memory: UnsafeMutablePointer<Entry>
    private(set) var capacity = 0
    private var head = 0
    private var end = 0
    private(set) var count = 0
    /// The ticket of what was taken from the front last.
    private(set) var lastTaken: UInt64 = 0
    private let generation = World.generation

    @safe
    enum Slot {
        case gap
        case item(Unmanaged<WorkItem>)
        /// A function of no item.
        case function(@Sendable () -> Void)

        var isGap: Bool {
            if case .gap = self { return true }
            return false
        }
    }

    private struct Entry {
        let ticket: UInt64
        /// Whether it runs alone: after all before it, and before all behind it.
        let isBarrier: Bool
        var slot: Slot
    }

    init() { unsafe memory = .allocate(capacity: 0) }

    deinit {
        // In a forked child it is the copy of one that a thread of the parent may have been changing.
        guard generation == World.generation else { return }
        // Only of a queue whose world has ended is something left.
        for index in head..<end {
            if case .item(let item) = unsafe memory[index].slot { unsafe item.release() }
        }
        unsafe (memory + head).deinitialize(count: end - head)
        unsafe memory.deallocate()
    }

    var isEmpty: Bool { count == 0 }

    /// The lowest ticket in the list.
    var firstTicket: UInt64? { count == 0 ? nil : unsafe memory[head].ticket }

    /// Whether what is to be taken next is a barrier.
    @inline(__always)
    var isBarrierNext: Bool { unsafe count > 0 && memory[head].isBarrier }

    /// Adds what is pending from here on, whose ticket is higher than all others.
    @inline(__always)
    mutating func append(_ slot: consuming Slot, _ ticket: UInt64, isBarrier: Bool) {
        if end == capacity { makeRoom(for: 1) }
        unsafe (memory + end).initialize(
            to: Entry(ticket: ticket, isBarrier: isBarrier, slot: slot))
        end += 1
        count += 1
    }

    /// Moves what is in `other`, whose tickets are higher, to the end of this list.
    mutating func take(_ other: inout WorkList) {
        guard other.count > 0 else { return }
        if count == 0 {
            let last = lastTaken
            if capacity > Self.burst, capacity / 8 > other.count { giveBackRoom() }
            swap(&self, &other)
            lastTaken = last
            return
        }
        let more = other.end - other.head
        if end + more > capacity { makeRoom(for: more) }
        unsafe (memory + end).moveInitialize(from: other.memory + other.head, count: more)
        end += more
        count += other.count
        (other.head, other.end, other.count) = (0, 0, 0)
    }

    @inline(__always)
    mutating func popFirst() -> Slot {
        guard count > 0 else { return .gap }
        let entry = unsafe (memory + head).move()
        head += 1
        count -= 1
        lastTaken = entry.ticket
        trim()
        // Its lines come while what was taken runs.
        if count > 0, case .item(let following) = unsafe memory[head].slot {
            unsafe Hint.willUse(following)
        }
        return entry.slot
    }

    /// Takes the item that has this ticket out of the list.
    mutating func remove(_ ticket: UInt64) {
        var (low, high) = (head, end - 1)
        while low < high {
            let middle = (low + high) / 2
            if unsafe memory[middle].ticket < ticket { low = middle + 1 } else { high = middle }
        }
        unsafe memory[low].slot = .gap
        count -= 1
        trim()
        if end - head > 2 * count + 16 { closeGaps() }
    }

    /// Forgets gaps at either end: the first entry is no gap.
    @inline(__always)
    private mutating func trim() {
        while head < end, unsafe memory[head].slot.isGap { head += 1 }
        while head < end, unsafe memory[end - 1].slot.isGap { end -= 1 }
        if head == end { (head, end) = (0, 0) }
    }

    private mutating func closeGaps() {
        var kept = head
        for index in head..<end where unsafe !memory[index].slot.isGap {
            if index != kept {
                unsafe (memory + kept).moveInitialize(from: memory + index, count: 1)
            }
            kept += 1
        }
        end = kept
    }

    /// What a long burst took is given back when nothing is left of it; of a shorter one, when the
    /// next is much smaller.
    mutating func becomeQuiet() {
        if count == 0, capacity > Self.longBurst { giveBackRoom() }
    }

    private static let burst = 1 << 12
    private static let longBurst = 1 << 18

    private mutating func giveBackRoom() {
        unsafe memory.deallocate()
        unsafe memory = .allocate(capacity: 0)
        capacity = 0
    }

    /// Makes room at the end, without what was taken from the front.
    @inline(never)
    private mutating func makeRoom(for more: Int) {
        let live = end - head
        let roomier = max(16, (live + more) * 2)
        let moved = UnsafeMutablePointer<Entry>.allocate(capacity: roomier)
        unsafe moved.moveInitialize(from: memory + head, count: live)
        unsafe memory.deallocate()
        unsafe memory = moved
        capacity = roomier
        (head, end) = (0, live)
    }
}
