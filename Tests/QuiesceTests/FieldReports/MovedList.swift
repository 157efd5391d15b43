// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// The list that was moved away: rust_binder, CVE-2025-68260.
@Suite struct MovedList {
    /// A list of three nodes by number; 3 is its end.
    private final class Node: Sendable {
        let lock = Mutex(0)
        let next = [Link(1), Link(2), Link(3)]

        init() {
            lock.label("head")
            for (index, link) in next.enumerated() { link.value.label("next of \(index)") }
        }
    }

    private final class Link: Sendable {
        let value: Unsynchronized<Int>
        init(_ next: Int) { value = Unsynchronized(next) }
    }

    private func program(popsUnderLock: Bool) -> (ExploredWorld) -> Void {
        { world in
            let list = Node()
            world.thread("release") {
                if popsUnderLock {
                    while list.lock.withLock({ head in
                        if head < 3 { head = list.next[head].value.load() }
                        return head < 3
                    }) {}
                } else {
                    var node = list.lock.withLock { head in
                        defer { head = 3 }
                        return head
                    }
                    while node < 3 { node = list.next[node].value.load() }
                }
            }
            world.thread("remover") {
                list.lock.withLock { head in
                    if head == 0 || !popsUnderLock { list.next[0].value.store(2) }
                }
            }
        }
    }

    @Test func `the walk without the lock races with a removal under it`() throws {
        try expectFound(
            .race, shows: ["next of 0", "nothing orders the two"], columns: ["release", "remover"],
            program(popsUnderLock: false))
    }

    @Test func `popping one at a time under the lock is right`() throws {
        try expectVerified(program(popsUnderLock: true))
    }
}
