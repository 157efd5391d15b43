// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A wake-up goes to a waiter that leaves: tokio-rs/tokio #4618, python/cpython #90155,
/// agronholm/anyio #1075.
@Suite struct WakeUpLeavesWithWaiter {
    private final class Semaphore: Sendable {
        private struct State {
            var permits = 0
            var waiters: [Int: CheckedContinuation<Bool, Never>] = [:]
            var cancelled: Set<Int> = []
        }

        private let state = Mutex(State())
        private let passesOn: Bool

        init(passesOn: Bool) {
            self.passesOn = passesOn
            state.label("semaphore")
        }

        func acquire(_ id: Int) async throws {
            let hasPermit = await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let answer: Bool? = state.withLock { state in
                        if state.cancelled.contains(id) { return false }
                        if state.permits > 0 {
                            state.permits -= 1
                            return true
                        }
                        state.waiters[id] = continuation
                        return nil
                    }
                    if let answer { continuation.resume(returning: answer) }
                }
            } onCancel: {
                let waiter = state.withLock { state in
                    state.cancelled.insert(id)
                    return state.waiters.removeValue(forKey: id)
                }
                waiter?.resume(returning: false)
            }
            if Task.isCancelled {
                if hasPermit && passesOn { release() }
                throw CancellationError()
            }
        }

        func release() {
            let waiter = state.withLock { state in
                guard let first = state.waiters.keys.min() else {
                    state.permits += 1
                    return nil as CheckedContinuation<Bool, Never>?
                }
                return state.waiters.removeValue(forKey: first)
            }
            waiter?.resume(returning: true)
        }
    }

    private func program(passesOn: Bool) -> @Sendable (ExploredWorld) async throws -> Void {
        { _ in
            let semaphore = Semaphore(passesOn: passesOn)
            @Sendable func use(_ id: Int) async throws {
                try await semaphore.acquire(id)
                semaphore.release()
            }
            let first = Task(name: "first") { try await use(1) }
            Task(name: "canceller") { first.cancel() }
            Task(name: "releaser") { semaphore.release() }
            try await use(2)
        }
    }

    @Test func `a cancelled waiter takes the wake-up with it`() async throws {
        try await expectFound(
            .neverResumed,
            shows: ["main is suspended", "resumes first", "cancels first", "lock semaphore"],
            columns: ["main", "first", "canceller", "releaser"], program(passesOn: false))
    }

    @Test func `a cancelled waiter passes the wake-up on`() async throws {
        try await expectVerified(program(passesOn: true))
    }
}
