// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A task group forgets its waiter: swiftlang/swift #81814, #81815.
@Suite struct GroupForgetsWaiter {
    private static let done: UInt32 = 1
    private static let cancelled: UInt32 = 2

    private final class Group: Sendable {
        let slot = Atomic(1)
        let status = Atomic<UInt32>(0)
        let parent = WaitPoint()

        init() {
            slot.label("slot")
            status.label("status")
            parent.label("parent")
        }

        func finish(retriesBoth: Bool) {
            var waiter = 0
            var isTaken = false
            while true {
                let found = status.load(ordering: .sequentiallyConsistent)
                if retriesBoth || !isTaken {
                    waiter = slot.exchange(0, ordering: .sequentiallyConsistent)
                    isTaken = true
                }
                if status.compareExchange(
                    expected: found, desired: found | GroupForgetsWaiter.done,
                    ordering: .sequentiallyConsistent
                ).exchanged {
                    break
                }
            }
            guard waiter == 1 else { return }
            parent.word.store(1, ordering: .sequentiallyConsistent)
            parent.wake()
        }

        func cancel() {
            status.bitwiseOr(GroupForgetsWaiter.cancelled, ordering: .sequentiallyConsistent)
        }
    }

    private func program(retriesBoth: Bool) -> (ExploredWorld) -> Void {
        { world in
            let group = Group()
            world.thread("parent") { group.parent.wait(while: 0) }
            world.thread("child") { group.finish(retriesBoth: retriesBoth) }
            world.thread("canceller") { group.cancel() }
        }
    }

    @Test func `the retry finds the slot that the child itself emptied`() throws {
        // The child and the canceller never touch what the parent sleeps on: who would have woken it
        // is told by what they noted.
        try expectFound(
            .lostWakeUp, shows: ["parent waits on parent"], columns: ["parent"],
            program(retriesBoth: true))
    }

    @Test func `only the status is tried again`() throws {
        try expectVerified(program(retriesBoth: false))
    }
}
