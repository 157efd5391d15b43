// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A time limit that cannot end: pnikolaidis/icemelt #41 and #42, swiftlang/swift #82396.
@Suite struct TimeLimitCannotEnd {
    private struct TimedOut: Error {}

    /// A request whose answer never comes.
    private final class Request: Sendable {
        private struct State {
            var isCancelled = false
            var waiter: CheckedContinuation<Void, Never>?
        }

        private let state = Mutex(State())

        init() { state.label("request") }

        private func park() async {
            await withCheckedContinuation { continuation in
                let isCancelled = state.withLock { state in
                    if !state.isCancelled { state.waiter = continuation }
                    return state.isCancelled
                }
                if isCancelled { continuation.resume() }
            }
        }

        func answer(endsWhenCancelled: Bool) async {
            guard endsWhenCancelled else { return await park() }
            await withTaskCancellationHandler {
                await park()
            } onCancel: {
                let waiter = state.withLock { state in
                    state.isCancelled = true
                    defer { state.waiter = nil }
                    return state.waiter
                }
                waiter?.resume()
            }
        }
    }

    private func program(endsWhenCancelled: Bool) -> @Sendable (ExploredWorld) async throws -> Void
    {
        { _ in
            let request = Request()
            let answer: Void? = try? await withThrowingTaskGroup { group in
                group.addTask(name: "work") {
                    await request.answer(endsWhenCancelled: endsWhenCancelled)
                }
                group.addTask(name: "time limit") {
                    try await Task.sleep(for: .seconds(1))
                    throw TimedOut()
                }
                defer { group.cancelAll() }
                try await group.next()
            }
            expect(answer == nil, "the time is up")
        }
    }

    @Test func `the group waits for work that cannot be cancelled`() async throws {
        try await expectFound(
            .neverResumed,
            shows: [
                "work is suspended", "main waits for it", "lock request", "time passes",
                "resumes time limit", "cancels work",
            ], columns: ["main", "work", "time limit"], program(endsWhenCancelled: false))
    }

    @Test func `work that ends when it is cancelled lets the group end`() async throws {
        try await expectVerified(program(endsWhenCancelled: true))
    }
}
