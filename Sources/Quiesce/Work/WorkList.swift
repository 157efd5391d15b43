// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Pending items in the order of their tickets, linked through the items themselves. Its owner's lock protects it.
@safe
struct WorkList {
    private(set) unowned(unsafe) var first: WorkItem?
    private unowned(unsafe) var last: WorkItem?

    private(set) var count = 0

    var isEmpty: Bool { unsafe first == nil }

    /// The lowest ticket in the list.
    var firstTicket: UInt64? { unsafe first?.record.load().ticket }

    mutating func append(_ item: WorkItem) {
        item.record.withValue {
            unsafe $0.previous = last
            unsafe $0.next = nil
        }
        if let last = unsafe last { last.record.withValue { unsafe $0.next = item } } else { unsafe first = item }
        unsafe last = item
        count += 1
    }

    /// Moves the items of `other` to the end of this list.
    mutating func take(_ other: inout WorkList) {
        guard let head = unsafe other.first else { return }
        if let last = unsafe last {
            last.record.withValue { unsafe $0.next = head }
            head.record.withValue { unsafe $0.previous = last }
            unsafe self.last = other.last
            count += other.count
        } else {
            self = other
        }
        other = WorkList()
    }

    mutating func popFirst() -> WorkItem? {
        guard let item = unsafe first else { return nil }
        let next = unsafe item.record.load().next
        count -= 1
        unsafe first = next
        if let next { next.record.withValue { unsafe $0.previous = nil } } else { unsafe last = nil }
        return item
    }

    /// Takes an item out of the list, which it is in.
    mutating func remove(_ item: WorkItem) {
        count -= 1
        let (next, previous) = item.record.withValue { unsafe ($0.next, $0.previous) }
        if let previous {
            previous.record.withValue { unsafe $0.next = next }
        } else {
            unsafe first = next
        }
        if let next {
            next.record.withValue { unsafe $0.previous = previous }
        } else {
            unsafe last = previous
        }
    }
}
