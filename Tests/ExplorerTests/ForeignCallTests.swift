// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Explorer
import Foundation
import Substrate
import Testing

/// What does not go through Substrate is not seen, and coverage says so.
@Suite struct ForeignCallTests {
    final class State: @unchecked Sendable {
        let word = Atomic(0)
        let lock = NSLock()
        let recursive = NSRecursiveLock()
        let queue = DispatchQueue(label: "state")
        let semaphore = DispatchSemaphore(value: 1)
        var plain = 0
    }

    private func explore(_ look: @escaping @Sendable (State) -> Void) throws -> ExplorationReport {
        try Exploration("foreign") { world in
            let state = State()
            for _ in 0..<2 {
                world.thread("worker") {
                    _ = state.word.load(ordering: .relaxed)
                    look(state)
                }
            }
        }.run()
    }

    private func expectBounded(_ report: ExplorationReport, _ function: String) {
        guard case .bounded(let bound) = report.coverage else {
            Issue.record("\(report.coverage)")
            return
        }
        #expect(
            bound.hasPrefix(
                "what goes through Substrate: \(function), called in ForeignCallTests:"),
            "\(bound)")
    }

    @Test func foundationsLocksAreNamed() throws {
        try expectBounded(explore { $0.lock.withLock {} }, "a lock of Foundation's")
        try expectBounded(explore { $0.recursive.withLock {} }, "a lock of Foundation's")
    }

    @Test func pthreadIsNamed() throws {
        try expectBounded(
            explore { _ in
                var mutex = unsafe pthread_mutex_t()
                unsafe pthread_mutex_init(&mutex, nil)
                unsafe pthread_mutex_lock(&mutex)
                unsafe pthread_mutex_unlock(&mutex)
            }, "pthread_mutex_lock")
    }

    @Test func dispatchIsNamed() throws {
        try expectBounded(
            explore {
                $0.semaphore.wait(); $0.semaphore.signal()
            }, "dispatch_semaphore_wait")
    }

    /// What the toolchain's libraries do for themselves does not count.
    @Test func theToolchainDoesNotCount() throws {
        let report = try explore { _ in
            _ = String(format: "%.3f", 1.5)
            _ = [1, 2, 3].map { "\($0)" }.joined(separator: ",").data(using: .utf8)
            _ = ProcessInfo.processInfo.processIdentifier
        }
        #expect(report.coverage == .all, "\(report.coverage)")
    }

    /// Threads and tasks that show nothing of themselves are a sign.
    @Test func nothingSeenIsASign() throws {
        let threads = try Exploration("threads") { world in
            let state = State()
            for _ in 0..<2 { world.thread("worker") { state.plain += 1 } }
        }.run()
        #expect(threads.coverage.word == "bounded", "\(threads.coverage)")
        let tasks = try Exploration("tasks") { _ in
            let state = State()
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<2 { group.addTask { state.plain += 1 } }
            }
        }.run()
        #expect(tasks.coverage.word == "bounded", "\(tasks.coverage)")
    }
}
