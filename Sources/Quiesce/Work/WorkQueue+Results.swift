// SPDX-License-Identifier: Apache-2.0

import Substrate

// Work whose caller wants what it returns.
extension WorkQueue {
    /// Enqueues `function` after `delay`, once.
    ///
    /// For what is never cancelled or waited for by itself; an item of your own, a `DelayedWork`,
    /// can be.
    ///
    /// - Returns: `.queued` or `.draining`.
    public func enqueue(
        after delay: Duration, name: String? = nil, file: StaticString = #filePath,
        line: UInt = #line, _ function: @escaping @Sendable () -> Void
    ) -> Enqueued {
        enqueue(
            DelayedWork(name: name ?? Self.unnamed, file: file, line: line, function), after: delay)
    }

    /// Runs `body` on the queue, in its turn, and returns what it returns. Blocks this thread.
    ///
    /// - Throws: what `body` throws; `QuiesceError.closed` when the queue admits nothing, and
    ///   `.inside` when the caller is an item of the queue and `body` could only run after it: then
    ///   `body` was not called.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func run<Result: Sendable>(
        name: String? = nil, file: StaticString = #filePath, line: UInt = #line,
        _ body: @escaping @Sendable () throws -> Result
    ) throws -> Result {
        let outcome = Outcome<Result>()
        let item = Work(name: name ?? Self.unnamed, file: file, line: line) {
            outcome.set(Swift.Result { try body() })
        }
        guard enqueue(item) == .queued else { throw QuiesceError.closed(self.name) }
        do { try item.flush() } catch {
            item.cancel()
            throw error
        }
        return try outcome.get()
    }

    /// Runs `body` on the queue, in its turn, and returns what it returns. Suspends this task.
    ///
    /// - Throws: what `body` throws; `QuiesceError.closed` when the queue admits nothing;
    ///   `CancellationError` when the task is cancelled before `body` begins: then `body` is not
    ///   called. One that has begun is waited for.
    public func run<Result: Sendable>(
        name: String? = nil, file: StaticString = #filePath, line: UInt = #line,
        _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try Task.checkCancellation()
        let outcome = Outcome<Result>()
        let item = Work(name: name ?? Self.unnamed, file: file, line: line) {
            outcome.set(Swift.Result { try body() })
        }
        return try await withTaskCancellationHandler {
            unsafe try await withUnsafeThrowingContinuation { continuation in
                unsafe outcome.resume(continuation)
                guard enqueue(item) == .queued else {
                    return outcome.set(.failure(QuiesceError.closed(self.name)))
                }
                // The handler may have come too early to find it pending.
                if Task.isCancelled, item.cancel() { outcome.set(.failure(CancellationError())) }
            }
        } onCancel: {
            // Only one makes it not pending: the worker that calls its function, or one of the two
            // that cancel it. That one resumes the task.
            if item.cancel() { outcome.set(.failure(CancellationError())) }
        }
    }
}

/// What became of a body, and the task that waits for it.
@safe
private final class Outcome<Value: Sendable>: Sendable {
    private let result = Unsynchronized<Result<Value, any Error>?>(nil)
    private let continuation = unsafe Unsynchronized<UnsafeContinuation<Value, any Error>?>(nil)

    /// Says whom to resume. Before the item is enqueued, which orders it before its function.
    func resume(_ continuation: UnsafeContinuation<Value, any Error>) {
        unsafe self.continuation.store(continuation)
    }

    /// Called once.
    func set(_ result: Result<Value, any Error>) {
        if let continuation = unsafe continuation.load() {
            unsafe continuation.resume(with: result)
        } else {
            self.result.store(result)
        }
    }

    /// After the item is over, which orders it after its function.
    func get() throws -> Value {
        guard let result = result.load() else {
            fatalError("a work item was over that nobody had cancelled, and it had not run")
        }
        return try result.get()
    }
}
