// SPDX-License-Identifier: Apache-2.0

// Programs in which threads take part that nobody explores.
extension Exploration {
    /// What coverage is bounded by then.
    static let foreignBound = "a thread that is not explored took part"
    private static let foreignExecutions = 100

    /// Runs the program a number of times, each step picked at random.
    ///
    /// When such a thread resumes a task depends on the machine, so that no execution can be
    /// repeated: a search by repetition would take that for a mistake of the program. Each
    /// execution is recorded as it happens, and one that fails is shown as it was.
    func sample() -> ExplorationReport {
        var report = ExplorationReport(name: name)
        let pace = Pace(after: report)
        let scheduler = recorder(StepDetail())
        scheduler.sharedLocks.hasWaitedInVain = false
        var count = Self.foreignExecutions
        var seed: UInt64 = 1
        if case .random(let executions, let chosen) = options.strategy {
            (count, seed) = (executions, chosen)
        }
        exploring(scheduler) { run in
            let strategy = RandomWalk(
                scheduler, executions: min(count, options.executionLimit), seed: seed)
            scheduler.use(strategy)
            withExtendedLifetime(strategy) {
                while true {
                    var outcome = run()
                    while scheduler.mustRepeat, !scheduler.mustStop { outcome = run() }
                    self.count(outcome, scheduler, &report)
                    if let verdict = scheduler.verdict,
                        isWorthShowing(verdict, instead: report.counterexample?.verdict)
                    {
                        report.counterexample = counterexample(
                            scheduler, verdict, Trace.Origin(number: report.executions))
                        if options.stopsAtFirstFailure { return }
                    }
                    if scheduler.mustStop || !strategy.endExecution(outcome) { return }
                    if limit(report.executions, pace, scheduler) != nil || isLate(pace) { return }
                }
            }
        }
        report.coverage = .bounded(by: Self.foreignBound)
        report.abandonedThreads = scheduler.abandoned
        report.seconds = pace.seconds
        return report
    }

    /// Whether the time is over for which an exploration waits for other threads.
    private func isLate(_ pace: Pace) -> Bool {
        options.watchdogSeconds > 0 && pace.secondsHere >= options.watchdogSeconds
    }
}
