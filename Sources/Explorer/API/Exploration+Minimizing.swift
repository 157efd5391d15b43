// SPDX-License-Identifier: Apache-2.0

import Substrate

// The shortest way to see a failure.
extension Exploration {
    /// Searches with 0, 1, 2 … preemptions for the same kind of failure, and records the first.
    func minimized(
        _ verdict: Verdict, _ found: [ScheduleStep], _ number: Int, _ detail: StepDetail
    ) throws(Failure) -> Counterexample {
        if verdict.kind == .blockedOutside { return recordedOnce(verdict, found, number, detail) }
        var origin = Trace.Origin(number: number)
        var steps = found
        if options.minimizes {
            var bound = 0
            // The failure's own schedule has so many; fewer is what is searched for.
            let most = try preemptions(of: found, detail)
            var budget = 200_000
            while bound <= most, budget > 0 {
                let (hit, isComplete, used) = search(
                    verdict.kind, preemptions: bound, detail, budget)
                budget -= used
                if let hit {
                    steps = hit
                    origin.isMinimal = true
                    break
                }
                if !isComplete { break }
                bound += 1
            }
        }
        guard let result = try record(steps, recorder(detail), origin) else {
            throw .diverged(step: steps.count, expected: verdict.kind.rawValue, found: "ends well")
        }
        return result
    }

    /// Runs the schedule of a program that hangs once more, for the trace. It has waited for long
    /// enough, so that now a moment will do. If it does not hang again it is shown without one.
    private func recordedOnce(
        _ verdict: Verdict, _ found: [ScheduleStep], _ number: Int, _ detail: StepDetail
    ) -> Counterexample {
        let scheduler = recorder(detail)
        scheduler.patience = min(scheduler.patience, 0.5)
        if let again = try? record(found, scheduler, Trace.Origin(number: number)),
            again.verdict.kind == verdict.kind
        {
            return again
        }
        return withoutTrace(verdict, found, number)
    }

    /// A failure of which nothing is known but its schedule.
    func withoutTrace(_ verdict: Verdict, _ found: [ScheduleStep], _ number: Int)
        -> Counterexample
    {
        var trace = Trace()
        trace.sentence = verdict.sentence
        trace.executionNumber = number
        return Counterexample(
            verdict: verdict, trace: trace, token: ReplayToken(test: name, steps: found))
    }

    private func preemptions(of steps: [ScheduleStep], _ detail: StepDetail) throws(Failure) -> Int
    {
        let scheduler = scheduler(detail)
        let strategy = Replay(scheduler, steps: steps)
        scheduler.use(strategy)
        exploring(scheduler) { run in withExtendedLifetime(strategy) { _ = run() } }
        if let divergence = strategy.divergence { throw divergence.failure }
        return strategy.preemptions
    }

    /// The first schedule with at most so many preemptions that fails in the same way.
    private func search(
        _ kind: Verdict.Kind, preemptions bound: Int, _ detail: StepDetail, _ budget: Int
    ) -> (hit: [ScheduleStep]?, isComplete: Bool, used: Int) {
        let scheduler = scheduler(detail)
        return exploring(scheduler) { run in
            let strategy = DepthFirst(scheduler, preemptions: bound)
            scheduler.use(strategy)
            var used = 0
            while used < budget, !Exploration.isInterrupted {
                let outcome = run()
                used += 1
                // The schedule that was found has other steps than these would have.
                if scheduler.wanted.steps != detail { return (nil, false, used) }
                if scheduler.verdict?.kind == kind { return (scheduler.scheduleSteps, true, used) }
                if scheduler.mustStop { return (nil, false, used) }
                if !strategy.endExecution(outcome) { return (nil, true, used) }
            }
            return (nil, false, used)
        }
    }

    func recorder(_ detail: StepDetail) -> Scheduler {
        let scheduler = scheduler(detail)
        scheduler.record(Recorder())
        return scheduler
    }

    /// What runs again what was found: it tracks from its first execution on what the search had to
    /// learn.
    private func scheduler(_ detail: StepDetail) -> Scheduler {
        let scheduler = Scheduler(options)
        scheduler.wanted.races = true
        scheduler.wanted.words = true
        scheduler.wanted.steps = detail
        scheduler.wanted.names = true
        scheduler.wanted.jobs = true
        scheduler.wanted.waits = true
        // What was found has waited for those outside.
        scheduler.sharedLocks.hasWaitedInVain = true
        return scheduler
    }

    /// Runs a schedule with a recorder.
    func record(
        _ steps: [ScheduleStep], _ scheduler: Scheduler, _ origin: Trace.Origin
    ) throws(Failure) -> Counterexample? {
        let strategy = Replay(scheduler, steps: steps)
        scheduler.use(strategy)
        exploring(scheduler) { run in withExtendedLifetime(strategy) { _ = run() } }
        if let divergence = strategy.divergence { throw divergence.failure }
        guard let verdict = scheduler.verdict else { return nil }
        var origin = origin
        origin.preemptions = strategy.preemptions
        return counterexample(scheduler, verdict, origin)
    }

    /// What the last execution, which was recorded, shows.
    func counterexample(
        _ scheduler: Scheduler, _ verdict: Verdict, _ origin: Trace.Origin
    ) -> Counterexample {
        let trace = TraceBuilder(scheduler, verdict, origin).build()
        return Counterexample(
            verdict: Verdict(verdict.kind, trace.sentence), trace: trace,
            token: ReplayToken(test: name, steps: scheduler.scheduleSteps))
    }
}
