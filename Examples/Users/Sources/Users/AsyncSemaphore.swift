// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A semaphore for tasks.
///
/// Wrong: a task that is cancelled after `signal` woke it, and before it runs, throws and takes its
/// permit with it. The next one waits for a permit that nobody has.
public final class BrokenAsyncSemaphore: Sendable {
    private struct State {
        var permits: Int
        var tickets = 0
        var waiters: [(ticket: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state: Mutex<State>

    public init(permits: Int) { state = Mutex(State(permits: permits)) }

    /// Takes a permit. Waits while there is none, and throws when the task is cancelled meanwhile.
    public func wait() async throws {
        let ticket = state.withLock { state in
            state.tickets += 1
            return state.tickets
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                state.withLock { state in
                    if Task.isCancelled {
                        continuation.resume()
                    } else if state.permits > 0 {
                        state.permits -= 1
                        continuation.resume()
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
                state.waiters.remove(at: index).continuation.resume()
            }
        }
        try Task.checkCancellation()
    }

    /// Gives a permit back: to the task that has waited longest, if there is one.
    public func signal() {
        state.withLock { state in
            if state.waiters.isEmpty {
                state.permits += 1
            } else {
                state.waiters.removeFirst().continuation.resume()
            }
        }
    }
}

/// A semaphore for tasks.
///
/// Right: who resumes a task tells it whether it has a permit, and the task believes nothing else.
/// With a permit it goes on, cancelled or not, and gives it back as ever. Nobody resumes a task with
/// the lock held: its cancellation handler may want the lock, and who resumes it waits for that.
public final class AsyncSemaphore: Sendable {
    private typealias Continuation = CheckedContinuation<Bool, Never>

    private struct State {
        var permits: Int
        var tickets = 0
        var waiters: [(ticket: Int, continuation: Continuation)] = []
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
                let answer = take(ticket, continuation)
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let continuation = state.withLock { state in
                state.waiters.firstIndex { $0.ticket == ticket }.map {
                    state.waiters.remove(at: $0).continuation
                }
            }
            continuation?.resume(returning: false)
        }
        if !hasPermit { throw CancellationError() }
    }

    /// Whether the task has a permit; nil when it has to wait for one.
    private func take(_ ticket: Int, _ continuation: Continuation) -> Bool? {
        state.withLock { state in
            if Task.isCancelled { return false }
            if state.permits > 0 {
                state.permits -= 1
                return true
            }
            state.waiters.append((ticket, continuation))
            return nil
        }
    }

    /// Gives a permit back: to the task that has waited longest, if there is one.
    public func signal() {
        let continuation: Continuation? = state.withLock { state in
            if state.waiters.isEmpty {
                state.permits += 1
                return nil
            }
            return state.waiters.removeFirst().continuation
        }
        continuation?.resume(returning: true)
    }
}
