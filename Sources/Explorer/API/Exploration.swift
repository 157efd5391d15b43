// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

/// Runs a program through every interleaving that can differ.
public struct Exploration {
    public let name: String
    public var options: ExplorationOptions
    private let body: Body

    private enum Body {
        case thread((ExploredWorld) throws -> Void)
        case task(@Sendable (ExploredWorld) async throws -> Void)
    }

    /// An exploration of `body`, which runs once for each execution, as its main thread.
    ///
    /// Every object that threads share is made inside `body`, so that each execution starts afresh.
    public init(
        _ name: String, options: ExplorationOptions = ExplorationOptions(),
        _ body: @escaping (ExploredWorld) throws -> Void
    ) {
        self.name = name
        self.options = options
        self.body = .thread(body)
    }

    /// An exploration of `body`, which runs once for each execution, as its main task.
    ///
    /// Tasks that it starts are explored, and the threads of Substrate that they start: which job
    /// runs next is a step. The main task inherits the task-local values of the caller that runs
    /// the exploration.
    public init(
        _ name: String, options: ExplorationOptions = ExplorationOptions(),
        _ body: @escaping @Sendable (ExploredWorld) async throws -> Void
    ) {
        self.name = name
        self.options = options
        self.body = .task(body)
    }

    /// The exploration cannot be carried out.
    public enum Failure: Error, CustomStringConvertible {
        /// The program under test did something else than what was recorded.
        case diverged(step: Int, expected: String, found: String)
        /// It was called from inside an exploration.
        case nested
        /// The jobs of its tasks do not come to the exploration.
        case notCaptured
        /// Nothing of this kind can be explored on this platform, or in a program that was linked
        /// like this one. The text says why.
        case impossible(String)
        /// The checkpoint is of another exploration, or of one with other options.
        case foreignCheckpoint(of: String)

        public var description: String {
            switch self {
            case .diverged(let step, let expected, let found):
                "the program is not deterministic, or not the one that was recorded: at step \(step) the schedule has "
                    + "\(expected), the program \(found)"
            case .nested: "an exploration cannot be started from inside another one"
            case .notCaptured:
                "the jobs of explored tasks go elsewhere: something has installed executors of its own over the explorer's"
            case .impossible(let reason): reason
            case .foreignCheckpoint(let name):
                "the checkpoint of \"\(name)\" was made by another exploration, or with other options"
            }
        }
    }

    /// Explores, and returns what was found.
    ///
    /// - Parameter checkpoint: where an earlier exploration of the same program stopped. This one
    ///   goes on from there, and its report counts the executions of both. The limits of the
    ///   options are those of this part.
    public func run(from checkpoint: Checkpoint? = nil) throws(Failure) -> ExplorationReport {
        try checkPossible()
        try checkNotNested()
        defer { ForeignInbox.endExplorations() }
        // What is made once in a process, where it is first needed, may have given up references
        // once. In a program that gives them up in no order of its own, that happens again.
        for _ in 1...2 {
            let scheduler = Scheduler(options)
            do throws(Failure) { return try explored(by: scheduler, from: checkpoint) } catch {
                guard case .diverged = error, scheduler.hasReferenceSteps else { throw error }
            }
        }
        let other = withoutReferences
        return try other.explored(by: Scheduler(other.options), from: checkpoint)
    }

    /// The same, without a look at references.
    private var withoutReferences: Exploration {
        var copy = self
        copy.options.watchesReferences = false
        return copy
    }

    private func explored(by scheduler: Scheduler, from checkpoint: Checkpoint?) throws(Failure)
        -> ExplorationReport
    {
        try capture()
        var report = ExplorationReport(name: name)
        if let checkpoint { report = try resume(scheduler, from: checkpoint) }
        var schedule = report.counterexample?.token.steps ?? []
        var number = checkpoint?.counts.found?.number ?? 0
        var pace = Pace(after: report)
        func show(_ verdict: Verdict) {
            schedule = scheduler.scheduleSteps
            number = report.executions
            report.counterexample = Counterexample(
                verdict: verdict, trace: Trace(),
                token: ReplayToken(test: name, steps: schedule))
        }
        let divergence = exploring(scheduler) { run -> Divergence? in
            // Lazy globals come into being in a run of their own, of which nothing is kept.
            let warmUp = DefaultPolicy(scheduler)
            scheduler.use(warmUp)
            let first = withExtendedLifetime(warmUp) { run() }
            if scheduler.mustStop {
                // It has hung for long enough.
                count(first, scheduler, &report)
                if let verdict = scheduler.verdict { show(verdict) }
                report.coverage = .bounded(by: Self.hangingBound)
                return nil
            }
            var strategy = makeStrategy(scheduler)
            scheduler.use(strategy)
            var isResumed = checkpoint.map { strategy.resume(from: $0.search) } ?? false
            while true {
                var outcome = run()
                if isResumed, let misfit = strategy.misfit() { return misfit }
                while scheduler.mustRepeat, !scheduler.mustStop, !scheduler.hasForeignPart {
                    if scheduler.mustStartAnew {
                        // From here on schedules have other steps: nothing of the ones before
                        // holds.
                        strategy = makeStrategy(scheduler)
                        scheduler.use(strategy)
                        report = ExplorationReport(name: name)
                        pace.begin(after: report)
                        isResumed = false
                    } else {
                        strategy.repeatLast()
                    }
                    outcome = run()
                }
                // What threads shared with others may be different each time.
                if scheduler.divergence != nil { scheduler.sharedLocks.noteDivergence() }
                if scheduler.hasForeignPart, !scheduler.mustStop {
                    if let verdict = scheduler.verdict, scheduler.divergence == nil,
                        !scheduler.mustRepeat
                    {
                        show(verdict)
                    }
                    return nil
                }
                if let divergence = scheduler.divergence { return divergence }
                count(outcome, scheduler, &report)
                if let defect = scheduler.defect, report.defect == nil {
                    let token = ReplayToken(test: name, steps: scheduler.scheduleSteps)
                    report.defect = "\(defect) (the schedule so far: \(token))"
                }
                if let verdict = scheduler.verdict,
                    isWorthShowing(verdict, instead: report.counterexample?.verdict)
                {
                    show(verdict)
                    if options.stopsAtFirstFailure {
                        report.coverage = .bounded(by: "the first failure")
                        return nil
                    }
                }
                let isLast = !strategy.endExecution(outcome)
                if isLast, !scheduler.mustStop { break }
                if let bound = limit(report.executions, pace, scheduler) {
                    report.coverage = .bounded(by: bound)
                    report.seconds = pace.seconds
                    report.checkpoint = self.checkpoint(strategy, report, number, scheduler)
                    return nil
                }
                if let progress = options.progress, pace.isTimeToTell(report.executions) {
                    progress(pace.progress(report, strategy.explored, options))
                }
            }
            report.coverage = coverage(strategy, report, scheduler)
            return nil
        }
        report.abandonedThreads += scheduler.abandoned
        report.mutations += scheduler.mutant?.hits ?? 0
        if let divergence { throw divergence.failure }
        if scheduler.hasForeignPart, !scheduler.mustStop {
            var sampled = sample()
            if sampled.counterexample == nil, let found = report.counterexample {
                // It has happened, if only once.
                sampled.counterexample = withoutTrace(found.verdict, schedule, number)
            }
            return sampled
        }
        report.seconds = pace.seconds
        // An interruption does not wait for the search of a shorter schedule.
        if !Exploration.isInterrupted, let found = report.counterexample {
            if scheduler.hasLackedMemory, found.verdict.kind == .explorerLimit {
                // How much memory there is does not depend on the program alone.
                report.counterexample = withoutTrace(found.verdict, schedule, number)
                return report
            }
            do throws(Failure) {
                report.counterexample = try minimized(
                    found.verdict, schedule, number, scheduler.attention.steps)
            } catch {
                guard scheduler.sharedLocks.mayBeShared else { throw error }
                report.counterexample = withoutTrace(found.verdict, schedule, number)
            }
        }
        return report
    }

    /// Runs the one execution that `token` tells, and returns it as a counterexample, or nil when
    /// nothing fails.
    public func replay(_ token: ReplayToken) throws(Failure) -> Counterexample? {
        try checkPossible()
        try checkNotNested()
        defer { ForeignInbox.endExplorations() }
        do throws(Failure) { return try replayed(token) } catch {
            guard case .diverged = error, options.watchesReferences else { throw error }
            // It may have been found without.
            let found: Counterexample?
            do throws(Failure) { found = try withoutReferences.replayed(token) } catch _ {
                throw error
            }
            return found
        }
    }

    private func replayed(_ token: ReplayToken) throws(Failure) -> Counterexample? {
        try capture()
        // Which starts are steps is not in the token.
        var first: Failure?
        for detail in [
            StepDetail(), StepDetail(threads: true), StepDetail(creations: true),
            StepDetail(threads: true, creations: true), StepDetail(forbidsCreations: true),
            StepDetail(threads: true, forbidsCreations: true),
        ] {
            var detail = detail
            var hasForeignPart = false
            while true {
                let scheduler = recorder(detail)
                do throws(Failure) {
                    let counterexample = try record(token.steps, scheduler, Trace.Origin())
                    if scheduler.wanted.steps == detail { return counterexample }
                } catch {
                    // Of several divergences the first is the program's own.
                    first = first ?? error
                }
                hasForeignPart = scheduler.hasForeignPart
                // Nor are the types whose releases are steps.
                guard scheduler.wanted.steps.types != detail.types else { break }
                detail.types = scheduler.wanted.steps.types
            }
            // With other threads the schedule alone does not tell how it went.
            if hasForeignPart { return sample().counterexample }
        }
        if let first { throw first }
        return nil
    }

    // MARK: Parts of a run

    private static let hangingBound = "a thread that blocks outside Substrate"

    /// Captures the jobs of tasks, if there are tasks.
    private func capture() throws(Failure) {
        guard case .task = body else { return }
        JobCapture.install()
        guard JobCapture.isInstalled else { throw .notCaptured }
    }

    /// Neither the program under test explores, nor a closure of the options that is called
    /// meanwhile.
    private func checkNotNested() throws(Failure) {
        guard Scheduler.watchingThisThread == nil, !quiesce_trap_is_begun() else { throw .nested }
    }

    /// Nothing of the explorer's works before this.
    private func checkPossible() throws(Failure) {
        if let reason = Self.obstacle { throw .impossible(reason) }
        if case .task = body, quiesce_runtime_is_linked_in() {
            throw .impossible(
                "tasks cannot be explored in a program that links the Swift runtime statically: link it dynamically (without --static-swift-stdlib)"
            )
        }
    }

    /// Why nothing can be explored on this platform, if that is so.
    package static let missingPlatform: String? =
        quiesce_has_explorer()
        ? nil
        : "nothing can be explored on this platform: Quiesce explores on Linux with glibc, on x86-64 and aarch64"

    /// Why nothing can be explored in this process, if that is so.
    static let obstacle: String? = {
        if let missingPlatform { return missingPlatform }
        if quiesce_fiber_core_image_size() == 0 || quiesce_fiber_concurrency_image_size() == 0 {
            return
                "the thread-locals of the Swift runtime cannot be found, so that explored threads would share them: a program that links the Swift runtime statically can be explored only while it has its symbol table (do not strip it)"
        }
        return nil
    }()

    /// Calls `work` with a function that runs one execution.
    func exploring<Result>(_ scheduler: Scheduler, _ work: (() -> Outcome) -> Result) -> Result {
        let world = ExploredWorld(scheduler)
        scheduler.lockToken = SharedLock.token()
        defer { scheduler.endExploring() }
        func executions(_ main: Scheduler.Beginning) -> Result {
            Watchdog.watching(scheduler.heartbeat, seconds: scheduler.patience) {
                scheduler.watchingRuntime {
                    scheduler.withTrapsCaught { work { scheduler.runExecution(main) } }
                }
            }
        }
        switch body {
        case .thread(let body):
            let program = Program(body: body, world: world)
            return executions(.thread { program.run() })
        case .task(let body):
            let program = TaskProgram(body: body, world: world)
            return scheduler.lendingLocals { executions(.task { Task { await program.run() } }) }
        }
    }

    func isWorthShowing(_ verdict: Verdict, instead shown: Verdict?) -> Bool {
        guard let shown else { return true }
        return shown.kind != options.soughtVerdict && verdict.kind == options.soughtVerdict
    }

    private func makeStrategy(_ scheduler: Scheduler) -> any Resumable {
        switch options.strategy {
        case .optimal: OptimalReduction(scheduler)
        case .depthFirst: DepthFirst(scheduler)
        case .preemptions(let bound): DepthFirst(scheduler, preemptions: bound)
        case .random(let executions, let seed):
            RandomWalk(scheduler, executions: executions, seed: seed)
        }
    }

    func count(
        _ outcome: Outcome, _ scheduler: Scheduler, _ report: inout ExplorationReport
    ) {
        if outcome == .blocked {
            report.blocked += 1
            return
        }
        report.executions += 1
        if outcome == .deadlocked { report.deadlocked += 1 }
        if outcome == .cut { report.cut += 1 }
        if let verdict = scheduler.verdict { report.verdicts[verdict.kind, default: 0] += 1 }
    }

    /// Why to stop now, if there is a reason.
    func limit(_ executions: Int, _ pace: Pace, _ scheduler: Scheduler)
        -> String?
    {
        if executions - pace.executionsBefore >= options.executionLimit {
            return "\(executions) executions"
        }
        if Exploration.isInterrupted { return "an interruption" }
        if executions & 0xff == 0, Task.isCancelled { return "the cancellation of its task" }
        if scheduler.mustStop { return Self.hangingBound }
        if options.secondsLimit < .infinity, pace.secondsHere >= options.secondsLimit {
            return "\(options.secondsLimit) seconds"
        }
        return nil
    }

    private func coverage(
        _ strategy: any Resumable, _ report: ExplorationReport, _ scheduler: Scheduler
    ) -> ExplorationReport.Coverage {
        if case .random = options.strategy { return .sampled(report.executions) }
        if case .preemptions(let bound) = options.strategy,
            (strategy as? DepthFirst)?.isBounded == true
        {
            return .bounded(by: bound == 1 ? "1 preemption" : "\(bound) preemptions")
        }
        if quiesce_runtime_is_linked_in() {
            return .bounded(
                by: "what a program shows that links the Swift runtime statically: "
                    + "neither releases of references nor calls of other libraries"
            )
        }
        if !scheduler.seesAll, case .task = body {
            return .bounded(by: "what executors see of tasks")
        }
        if let call = scheduler.foreign {
            return .bounded(by: "what goes through Substrate: \(call) does not")
        }
        if let place = scheduler.sharedLocks.met {
            return .bounded(
                by: "what it orders itself: a thread that is not explored used what \(place) uses")
        }
        if scheduler.hasSeenOthers, !scheduler.hasSeenWork {
            return .bounded(
                by: "what goes through Substrate: its threads and tasks did nothing that does")
        }
        if !scheduler.references.isSeen {
            return .bounded(by: "what is seen without the releases of references")
        }
        if scheduler.references.lacksRoom {
            return .bounded(by: "the releases of some classes: too many have ends that can be seen")
        }
        if !options.watchesReferences {
            return .bounded(by: "one order of releases, which differ from run to run")
        }
        if let defect = report.defect {
            return .bounded(by: "a mistake of the explorer: \(defect)")
        }
        if scheduler.attention.steps.forbidsCreations {
            return .bounded(by: "locks of another library, held while a task is created or resumed")
        }
        if options.reduction == .declared, scheduler.attention.jobs {
            return .bounded(by: "what jobs are declared to share")
        }
        if report.verdicts[.explorerLimit] != nil { return .bounded(by: "a limit of the explorer") }
        if report.cut > 0 { return .bounded(by: "\(options.stepLimit) steps") }
        if options.time == .discrete { return .bounded(by: "time") }
        return .all
    }
}

extension Divergence {
    var failure: Exploration.Failure { .diverged(step: step, expected: expected, found: found) }
}

/// The policy of the warm-up run.
private final class DefaultPolicy: Strategy {
    override func choose() -> Decision { defaultDecision() }
}

extension Scheduler {
    var scheduleSteps: [ScheduleStep] {
        (0..<schedule.count).map { ScheduleStep(encoded: schedule[$0]) }
    }
}
