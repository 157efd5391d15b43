// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@testable import Explorer

/// The canary: exploration of tasks rests on interfaces of the Swift runtime that are not stable.
/// When one of these tests fails after a change of toolchain, look at JobCapture.swift and jobs.c;
/// until they are mended tasks are explored only as far as executors see them, and coverage says
/// so.
@Suite struct JobCaptureTests {
    private actor Place {
        var visits = 0
        func visit() { visits += 1 }
        func look() -> Int { visits }

        /// Two tasks visit if nobody has.
        nonisolated func visitByTwo() async {
            await withTaskGroup { group in
                for _ in 0..<2 {
                    group.addTask {
                        let seen = await self.look()
                        await Task.yield()
                        if seen == 0 { await self.visit() }
                    }
                }
            }
        }
    }

    @Test func `the runtime's interfaces are as they were`() {
        JobCapture.install()
        #expect(JobCapture.isInstalled, "executors cannot be installed")
        #expect(
            JobCapture.isAnnounced,
            "the runtime announces no jobs: _swift_tsan_acquire and _release are gone")
    }

    /// A program whose steps are known one by one.
    @Test func `every job is a step`() throws {
        JobCapture.install()
        let exploration = Exploration("canary") { _ in
            let place = Place()
            await place.visit()
            let seen = await place.look()
            expect(seen == 1)
            await Task.yield()
            try await Task.sleep(for: .milliseconds(1))
            _ = await Task { @MainActor in MainActor.assertIsolated() }.value
        }
        let recorder = Recorder()
        let scheduler = Scheduler(exploration.options)
        scheduler.record(recorder)
        let strategy = Replay(scheduler, steps: [])
        scheduler.use(strategy)
        exploration.exploring(scheduler) { run in
            withExtendedLifetime(strategy) { _ = run() }
            #expect(scheduler.verdict == nil)
        }
        let kinds = recorder.entries.compactMap { entry -> StepKind? in
            guard case .event(let event) = entry.action else { return nil }
            return event.kind
        }
        #expect(
            kinds == [
                // It starts, goes to the actor, is served both times, and goes on in the pool.
                .job, .arrive, .job, .job,
                // It yields; it sleeps, until the timer fires.
                .job, .fire, .job,
                // The other task is served by the main actor, and ends.
                .job, .job,
            ], "\(kinds)")
    }

    @Test func `a hop in place is a step all the same`() throws {
        // Were the runtime to take an idle actor in place, the second task could not come between a
        // look and a visit.
        let report = try Exploration("hops") { _ in
            let place = Place()
            await place.visitByTwo()
            let visits = await place.look()
            expect(visits == 1, "both visited")
        }.run()
        #expect(report.counterexample?.verdict.kind == .expectation)
    }

    /// What is seen where the runtime announces nothing.
    private func reduced(
        _ program: @escaping @Sendable (ExploredWorld) async throws -> Void
    ) throws -> ExplorationReport {
        var options = ExplorationOptions()
        options.isLimitedToExecutors = true
        options.stopsAtFirstFailure = false
        return try Exploration("reduced", options: options, program).run()
    }

    @Test func `without announcements tasks are explored as far as executors see them`() throws {
        let report = try reduced { _ in
            let place = Place()
            await place.visitByTwo()
            let sleeper = Task { try await Task.sleep(for: .seconds(1)) }
            sleeper.cancel()
            _ = await sleeper.result
            _ = await Task { @MainActor in MainActor.assertIsolated() }.value
            let visits = await place.look()
            expect(visits == 1, "both visited")
        }
        #expect(
            report.verdicts[.expectation] != nil && report.verdicts.count == 1,
            "\(report.verdicts)")
        #expect(report.coverage == .bounded(by: "what executors see of tasks"))
    }

    @Test func `without announcements a task is told from one that had its memory`() throws {
        // The allocator gives the memory of the first tasks to the later ones.
        JobCapture.install()
        var options = ExplorationOptions()
        options.isLimitedToExecutors = true
        let exploration = Exploration("short tasks", options: options) { _ in
            for _ in 0..<20 { await Task { await Task.yield() }.value }
        }
        let scheduler = Scheduler(options)
        let strategy = Replay(scheduler, steps: [])
        scheduler.use(strategy)
        exploration.exploring(scheduler) { run in
            withExtendedLifetime(strategy) { _ = run() }
        }
        #expect(scheduler.verdict == nil)
        #expect(scheduler.threads.started.count == 21)
    }

    @Test func `without announcements releases are not seen, and coverage says so`() throws {
        var options = ExplorationOptions()
        options.isLimitedToExecutors = true
        let report = try Exploration("threads", options: options) { world in
            world.thread("other") { Atomic(0).store(1, ordering: .relaxed) }
        }.run()
        #expect(report.coverage == .bounded(by: "what is seen without the releases of references"))
    }

    @Test func `without announcements a main task that waits for ever is seen`() throws {
        let report = try reduced { _ in
            await withCheckedContinuation { (_: CheckedContinuation<Void, Never>) in }
        }
        #expect(report.counterexample?.verdict.kind == .neverResumed)
    }
}
