// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

/// Threads on which tasks explore: an exploration keeps its thread busy until it is over, and the
/// pool's threads are for others.
///
/// As many explore at once as the machine has processors; the rest wait in line.
package final class ExploringThreads: TaskExecutor, Sendable {
    static let shared = ExploringThreads()

    private struct State: Sendable {
        var waiting: [UnownedJob] = []
        var first = 0
        var threads = 0
    }

    private let state = Mutex(State())
    private let limit = Int(quiesce_processor_count())

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let needsThread = state.withLock { state in
            state.waiting.append(job)
            guard state.threads < limit else { return false }
            state.threads += 1
            return true
        }
        guard needsThread else { return }
        do {
            _ = try WorldThread.spawn(name: "explorer") { self.serve() }
        } catch {
            // Somebody else's thread will do, and this one's if there is none.
            state.withLock { $0.threads -= 1 }
            serve()
        }
    }

    private func serve() {
        while let job = next() { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
    }

    private func next() -> UnownedJob? {
        state.withLock { state in
            guard state.first < state.waiting.count else {
                state.threads -= 1
                state.waiting.removeAll()
                state.first = 0
                return nil
            }
            state.first += 1
            return state.waiting[state.first - 1]
        }
    }
}

extension ExploringThreads {
    /// Runs `body` on one of the threads, as part of the calling task.
    package static func run<Result: Sendable>(_ body: @Sendable () throws -> Result) async throws
        -> Result
    {
        try await withTaskExecutorPreference(shared) { try await Self.here(body) }
    }

    /// On the preferred executor.
    @concurrent
    private static func here<Result: Sendable>(_ body: @Sendable () throws -> Result) async throws
        -> Result
    {
        try body()
    }
}
