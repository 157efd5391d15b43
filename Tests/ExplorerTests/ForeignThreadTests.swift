// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import Substrate
import Synchronization
import Testing

@testable import Explorer

/// Threads that nobody explores resume, cancel and run explored tasks.
@Suite(.serialized) struct ForeignThreadTests {
    private func run(_ program: ForeignProgram, _ options: ExplorationOptions) async throws
        -> ExplorationReport
    {
        try await ExploringThreads.run {
            try Exploration(program.name, options: options, program.body).run()
        }
    }

    @Test(arguments: ForeignProgram.all)
    func `a correct program with other threads never fails`(_ program: ForeignProgram)
        async throws
    {
        let report = try await run(program, ExplorationOptions())
        #expect(report.counterexample == nil, "\(report.counterexample?.verdict.sentence ?? "")")
        #expect(report.defect == nil && report.abandonedThreads == 0)
        #expect(report.coverage != .all, "other threads took part, which nobody saw")
    }

    @Test func `coverage says that another thread took part`() async throws {
        let report = try await run(ForeignProgram.all[0], ExplorationOptions())
        #expect(report.coverage == .bounded(by: "a thread that is not explored took part"))
    }

    @Test(arguments: ForeignProgram.late)
    func `what arrives after the exploration is dropped`(_ program: ForeignProgram) async throws {
        var options = ExplorationOptions()
        options.watchdogSeconds = 0.05
        let report = try await run(program, options)
        #expect(report.counterexample?.verdict.kind == .blockedOutside)
        // Not for this test's sake: the rest of the process must survive what comes.
        try await Task.sleep(for: .milliseconds(200))
    }

    @Test func `a failure in a program with other threads is shown as it happened`() async throws {
        let program = ForeignProgram(name: "wrong") { _ in
            let value = await withCheckedContinuation { continuation in
                DispatchQueue.global().async { continuation.resume(returning: 1) }
            }
            expect(value == 2, "the value is \(value)")
        }
        let report = try await run(program, ExplorationOptions())
        let found = try #require(report.counterexample)
        #expect(found.verdict.kind == .expectation)
        #expect(!found.trace.rows.isEmpty)
    }

    @Test func `a task that nobody will resume is found at once`() async throws {
        let program = ForeignProgram(name: "leak") { _ in
            unsafe await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
        }
        let report = try await run(program, ExplorationOptions())
        #expect(report.counterexample?.verdict.kind == .neverResumed)
        #expect(report.seconds < ExplorationOptions().watchdogSeconds)
    }
}

/// What hangs is waited for once.
@Suite(.serialized) struct HangingTests {
    /// How often a program was run to where it hangs.
    private final class Runs: Sendable {
        let count = Synchronization.Mutex(0)
        func note() { count.withLock { $0 += 1 } }
    }

    private func verdict(
        _ body: @escaping @Sendable (ExploredWorld, Runs) async throws -> Void
    ) async throws -> (Verdict.Kind?, Int, Double) {
        let runs = Runs()
        var options = ExplorationOptions()
        options.watchdogSeconds = 2
        let settled = options
        let report = try await ExploringThreads.run {
            try Exploration("hanging", options: settled) { world in
                runs.note()
                try await body(world, runs)
            }.run()
        }
        return (report.counterexample?.verdict.kind, runs.count.withLock { $0 }, report.seconds)
    }

    @Test func `a program that blocks is run again once, for the trace`() async throws {
        let (kind, runs, _) = try await verdict { _, _ in
            let semaphore = DispatchSemaphore(value: 0)
            waitOutside(semaphore)
        }
        #expect(kind == .blockedOutside)
        #expect(runs <= 2)
    }

    @Test func `a task that computes for ever is stopped`() async throws {
        let (kind, runs, _) = try await verdict { _, _ in
            let isOver = Synchronization.Atomic(false)
            while !isOver.load(ordering: .relaxed) {}
        }
        #expect(kind == .blockedOutside)
        #expect(runs <= 2)
    }

    @Test func `a task that allocates for ever is stopped`() async throws {
        let (kind, runs, _) = try await verdict { _, runs in
            await withTaskGroup { group in
                group.addTask {
                    var values: [Int] = []
                    while true {
                        values = Array(repeating: values.count, count: 10 + values.count % 100)
                        if values.isEmpty { break }
                    }
                }
            }
        }
        #expect(kind == .blockedOutside)
        #expect(runs <= 3)
    }

    @Test func `a lock that another fiber holds is waited for once`() async throws {
        let (kind, runs, _) = try await verdict { _, _ in
            let lock = ForeignLock()
            lock.lock()
            lock.lock()
        }
        #expect(kind == .blockedOutside)
        #expect(runs <= 2)
    }
}

private func waitOutside(_ semaphore: DispatchSemaphore) { semaphore.wait() }
