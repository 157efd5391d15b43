// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// Ask, then join: onevcat/Kingfisher #2231.
@Suite struct AskThenJoin {
    private final class Downloads: Sendable {
        private struct State {
            var isRunning = true
            var callbacks: [CheckedContinuation<Void, Never>] = []
        }

        private let state = Mutex(State())

        init() { state.label("downloads") }

        func end() {
            let callbacks = state.withLock { state in
                state.isRunning = false
                defer { state.callbacks = [] }
                return state.callbacks
            }
            for callback in callbacks { callback.resume() }
        }

        func joinInTwo() async {
            guard state.withLock({ $0.isRunning }) else { return }
            await withCheckedContinuation { continuation in
                state.withLock { $0.callbacks.append(continuation) }
            }
        }

        func join() async {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.isRunning { state.callbacks.append(continuation) }
                    return !state.isRunning
                }
                if isOver { continuation.resume() }
            }
        }
    }

    private func program(_ join: @escaping @Sendable (Downloads) async -> Void)
        -> @Sendable (
            ExploredWorld
        ) async throws -> Void
    {
        { _ in
            let downloads = Downloads()
            let requester = Task(name: "requester") { await join(downloads) }
            Task(name: "download") { downloads.end() }
            await requester.value
        }
    }

    @Test func `a download ends between the question and the joining`() async throws {
        try await expectFound(
            .neverResumed, shows: ["requester is suspended", "lock downloads"],
            columns: ["requester", "download"], program { await $0.joinInTwo() })
    }

    @Test func `one locking asks and joins`() async throws {
        try await expectVerified(program { await $0.join() })
    }
}
