// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What is pending, in the order of its tickets, which follow one another. Its owner's lock protects it.
///
/// An item is found by its ticket; one that is taken out leaves a gap. So what is pending costs two words. An item is kept by one
/// reference, which belongs to its being pending.
@safe
struct WorkList: @unchecked Sendable {
    // Unchecked: an item is Sendable, and kept.
    // The memory by itself: the object that owns it shares a cache line with whatever else was allocated then.
    private var memory: UnsafeMutablePointer<Slot>
    private var capacity = 0
    private var owner: Slots
    private var head = 0
    private var end = 0
    /// The ticket of slot 0.
    private var base: UInt64 = 1
    private(set) var count = 0

    @safe
    enum Slot {
        case gap
        case item(Unmanaged<WorkItem>)
        /// A function of no item.
        case function(@Sendable () -> Void)
    }

    init() {
        owner = Slots(capacity: 0)
        unsafe memory = owner.memory
    }

    private mutating func use(_ slots: Slots) {
        owner = slots
        unsafe memory = slots.memory
        capacity = slots.capacity
    }

    /// Memory for slots, of which the list's are initialized.
    @safe
    private final class Slots: @unchecked Sendable {
        // Unchecked: as the list, under the lock of its owner.
        let memory: UnsafeMutablePointer<Slot>
        let capacity: Int

        init(capacity: Int) {
            self.capacity = capacity
            unsafe memory = .allocate(capacity: capacity)
        }

        deinit { unsafe memory.deallocate() }
    }

    var isEmpty: Bool { count == 0 }

    /// The ticket of what was taken from the front last.
    var lastTaken: UInt64 { base + UInt64(head) - 1 }

    /// The lowest ticket in the list.
    var firstTicket: UInt64? {
        guard count > 0 else { return nil }
        for index in head..<end {
            if case .gap = unsafe memory[index] { continue }
            return base + UInt64(index)
        }
        return nil
    }

    /// Adds what is pending from here on, and returns its ticket.
    @inline(__always)
    mutating func append(_ slot: consuming Slot) -> UInt64 {
        if end == capacity { makeRoom(for: 1) }
        unsafe (memory + end).initialize(to: slot)
        end += 1
        count += 1
        return base + UInt64(end - 1)
    }

    /// Moves what is in `other`, whose tickets follow, to the end of this list.
    mutating func take(_ other: inout WorkList) {
        guard other.end > 0 else { return }
        if count == 0 {
            let next = other.base + UInt64(other.end)
            clear()
            swap(&self, &other)
            other.base = next
        } else {
            if end + other.end > capacity { makeRoom(for: other.end) }
            unsafe (memory + end).moveInitialize(from: other.memory, count: other.end)
            end += other.end
            count += other.count
            other.base += UInt64(other.end)
            (other.head, other.end, other.count) = (0, 0, 0)
        }
    }

    /// Forgets the gaps that are left.
    private mutating func clear() {
        unsafe (memory + head).deinitialize(count: end - head)
        // What a burst took is given back once there is far less to hold.
        if capacity > 4096, end < capacity / 8 { use(Slots(capacity: 0)) }
        (head, end) = (0, 0)
    }

    /// Makes room at the end, without what was taken from the front.
    @inline(never)
    private mutating func makeRoom(for more: Int) {
        let live = end - head
        let roomier = Slots(capacity: max(16, (live + more) * 2))
        unsafe roomier.memory.moveInitialize(from: memory + head, count: live)
        use(roomier)
        base += UInt64(head)
        (head, end) = (0, live)
    }

    @inline(__always)
    mutating func popFirst() -> Slot {
        guard count > 0 else { return .gap }
        while true {
            let slot = unsafe (memory + head).move()
            head += 1
            if case .gap = slot { continue }
            count -= 1
            return slot
        }
    }

    /// Takes the item that has this ticket out of the list.
    mutating func remove(_ ticket: UInt64) {
        unsafe memory[Int(ticket - base)] = .gap
        count -= 1
    }
}
