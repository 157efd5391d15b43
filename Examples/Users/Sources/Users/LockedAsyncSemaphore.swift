// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A semaphore for tasks.
///
/// Wrong: `signal` resumes a task while it holds the lock. To resume a task that is being cancelled
/// is to wait until its cancellation handler is over, and the handler waits for the lock.
public final class LockedAsyncSemaphore: Sendable {
    private struct State {
        var permits: Int
        var tickets = 0
        var waiters: [(ticket: Int, continuation: CheckedContinuation<Bool, Never>)] = []
    }

    private let state: Mutex<State>

    public init(permits: Int) { state = Mutex(State(permits: permits)) }

    /// Takes a permit. Waits while there is none, and throws when the task is cancelled meanwhile.
    public func wait() async throws {
        let ticket = state.withLock { state in
            state.tickets += 1
            return state.tickets
        }
        let hasPermit = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                state.withLock { state in
                    if Task.isCancelled {
                        continuation.resume(returning: false)
                    } else if state.permits > 0 {
                        state.permits -= 1
                        continuation.resume(returning: true)
                    } else {
                        state.waiters.append((ticket, continuation))
                    }
                }
            }
        } onCancel: {
            state.withLock { state in
                guard let index = state.waiters.firstIndex(where: { $0.ticket == ticket }) else {
                    return
                }
                state.waiters.remove(at: index).continuation.resume(returning: false)
            }
        }
        if !hasPermit { throw CancellationError() }
    }

    /// Gives a permit back: to the task that has waited longest, if there is one.
    public func signal() {
        state.withLock { state in
            if state.waiters.isEmpty {
                state.permits += 1
            } else {
                state.waiters.removeFirst().continuation.resume(returning: true)
            }
        }
    }
}
