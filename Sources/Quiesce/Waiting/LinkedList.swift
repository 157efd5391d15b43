// SPDX-License-Identifier: Apache-2.0

import Substrate

/// An object that can be in a list, which links it through itself.
protocol Linked: AnyObject, Sendable {
    /// Its place in the list, which the lock of the list protects.
    var links: Unsynchronized<Links<Self>> { get }
}

/// An object's place in a list.
@safe
struct Links<Element: AnyObject & Sendable>: Sendable {
    var next: Element?
    // Kept by the neighbour before it.
    unowned(unsafe) var previous: Element?
    var isInLine = false
}

/// Objects in the order in which they came. Its owner's lock protects it.
@safe
struct LinkedList<Element: Linked>: Sendable {
    private(set) var first: Element?
    private unowned(unsafe) var last: Element?

    var isEmpty: Bool { first == nil }

    mutating func append(_ element: Element) {
        element.links.withValue {
            unsafe $0.previous = last
            $0.isInLine = true
        }
        if let last = unsafe last {
            last.links.withValue { $0.next = element }
        } else {
            first = element
        }
        unsafe last = element
    }

    mutating func popFirst() -> Element? {
        guard let element = first else { return nil }
        remove(element)
        return element
    }

    /// Takes an object out of the list, which it is in.
    mutating func remove(_ element: Element) {
        let links = element.links.load()
        if let previous = unsafe links.previous {
            previous.links.withValue { $0.next = links.next }
        } else {
            first = links.next
        }
        if let next = links.next {
            next.links.withValue { unsafe $0.previous = links.previous }
        } else {
            unsafe last = links.previous
        }
        element.links.store(Links())
    }
}

extension LinkedList: Sequence {
    struct Iterator: IteratorProtocol {
        fileprivate var following: Element?

        mutating func next() -> Element? {
            defer { following = following?.links.load().next }
            return following
        }
    }

    func makeIterator() -> Iterator { Iterator(following: first) }
}
