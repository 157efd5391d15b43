// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A signal goes to a process number that was reused: swiftlang/swift-subprocess #86.
@Suite struct NumberIsReused {
    private enum Child { case ours, another }

    /// The only process number that the kernel has, and what our library knows of our child.
    private final class Number: Sendable {
        private let owner = Mutex<Child?>(.ours)
        private let isRunning = Atomic(true)

        init() {
            owner.label("number")
            isRunning.label("isRunning")
        }

        func isOurs() -> Bool { isRunning.load(ordering: .sequentiallyConsistent) }

        func reap() {
            isRunning.store(false, ordering: .sequentiallyConsistent)
            owner.withLock { $0 = nil }
        }

        func spawn() { owner.withLock { if $0 == nil { $0 = .another } } }

        /// Returns the process that the signal has reached.
        func signal() -> Child? { owner.withLock { $0 } }

        /// Signals by a handle, which stands for one process alone.
        func signal(_ child: Child) -> Child? { owner.withLock { $0 == child ? child : nil } }
    }

    private func program(byHandle: Bool) -> (ExploredWorld) -> Void {
        { world in
            let number = Number()
            world.thread("killer") {
                let reached: Child?
                if byHandle {
                    reached = number.signal(.ours)
                } else {
                    reached = number.isOurs() ? number.signal() : nil
                }
                expect(reached != .another, "the signal reaches our child or nobody")
            }
            world.thread("reaper") { number.reap() }
            world.thread("spawner") { number.spawn() }
        }
    }

    @Test func `a number is reaped and reused between the look and the signal`() throws {
        try expectFound(
            .expectation,
            shows: [
                "the signal reaches our child or nobody", "isRunning → true", "isRunning = false",
                "lock number",
            ],
            columns: ["killer", "reaper", "spawner"], program(byHandle: false))
    }

    @Test func `a handle stands for one process`() throws {
        try expectVerified(program(byHandle: true))
    }
}
