// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A bubble in the queue: ben-manes/caffeine #9.
@Suite struct BubbleInQueue {
    /// A linked queue with one consumer. Nodes are numbers: the first is 0, and 0 also ends it.
    private final class Queue: Sendable {
        private let head = Unsynchronized(0)
        private let tail = Atomic(0)
        private let next = [Link(0), Link(1), Link(2)]

        init() {
            head.label("head")
            tail.label("tail")
        }

        func enqueue(_ node: Int) {
            let last = tail.exchange(node, ordering: .sequentiallyConsistent)
            next[last].node.store(node, ordering: .sequentiallyConsistent)
        }

        private func successor(of node: Int) -> Int {
            next[node].node.load(ordering: .sequentiallyConsistent)
        }

        func poll(waitsForLink: Bool) -> Int? {
            let first = head.load()
            if waitsForLink, tail.load(ordering: .sequentiallyConsistent) != first {
                spin { successor(of: first) == 0 }
            }
            let found = successor(of: first)
            guard found != 0 else { return nil }
            head.store(found)
            return found
        }
    }

    private final class Link: Sendable {
        let node = Atomic(0)
        init(_ number: Int) { node.label("next of \(number)") }
    }

    private func program(waitsForLink: Bool) -> (ExploredWorld) -> Void {
        { world in
            let queue = Queue()
            world.thread("X") { queue.enqueue(1) }
            world.thread("Y") {
                queue.enqueue(2)
                expect(
                    queue.poll(waitsForLink: waitsForLink) != nil,
                    "the queue is empty behind a complete enqueue")
            }
        }
    }

    @Test func `a complete enqueue stands behind one that has no link yet`() throws {
        try expectFound(
            .expectation,
            shows: ["empty behind a complete enqueue", "tail 0→1", "tail 1→2", "next of 0 → 0"],
            columns: ["X", "Y"], program(waitsForLink: false))
    }

    @Test func `a poll waits for the link while the tail is elsewhere`() throws {
        try expectVerified(program(waitsForLink: true))
    }
}
