// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A cancellation between the decision to wait and the storing of the continuation:
/// apple/swift-nio #3453.
@Suite struct CancellationBetween {
    private final class Writer: Sendable {
        private struct State {
            var isFull = true
            var isCancelled = false
            var waiter: CheckedContinuation<Void, Never>?
        }

        private let state = Mutex(State())
        private let marks: Bool

        init(marks: Bool) {
            self.marks = marks
            state.label("state")
        }

        func write() async {
            await withTaskCancellationHandler {
                guard state.withLock({ $0.isFull }) else { return }
                await withCheckedContinuation { continuation in
                    let isCancelled = state.withLock { state in
                        if state.isCancelled { return true }
                        state.waiter = continuation
                        return false
                    }
                    if isCancelled { continuation.resume() }
                }
            } onCancel: {
                let waiter = state.withLock { state in
                    if marks { state.isCancelled = true }
                    defer { state.waiter = nil }
                    return state.waiter
                }
                waiter?.resume()
            }
        }
    }

    private func program(marks: Bool) -> @Sendable (ExploredWorld) async throws -> Void {
        { _ in
            let writer = Writer(marks: marks)
            let producer = Task(name: "producer") { await writer.write() }
            let canceller = Task(name: "canceller") { producer.cancel() }
            await canceller.value
            await producer.value
        }
    }

    @Test func `the cancellation that finds nothing to resume is lost`() async throws {
        try await expectFound(
            .neverResumed, shows: ["producer is suspended", "lock state", "cancels producer"],
            columns: ["producer", "canceller"], program(marks: false))
    }

    @Test func `a mark is seen by the one who stores`() async throws {
        try await expectVerified(program(marks: true))
    }
}
