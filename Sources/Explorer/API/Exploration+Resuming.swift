// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

// Long explorations: how they are stopped, go on, and say meanwhile how far they are.
extension Exploration {
    private static let interruption = Synchronization.Atomic(false)

    /// Stops every exploration of the process after its current execution. Their reports say what
    /// was covered, and have checkpoints to go on from. A signal handler may call it once
    /// ``isInterrupted`` has been read.
    public static func interrupt() { interruption.store(true, ordering: .relaxed) }

    /// Whether the explorations of the process are to stop.
    public static var isInterrupted: Bool { interruption.load(ordering: .relaxed) }

    /// Gives a fresh scheduler what the one of the checkpoint knew of the program. Returns what was
    /// counted before.
    func resume(_ scheduler: Scheduler, from checkpoint: Checkpoint) throws(Failure)
        -> ExplorationReport
    {
        guard checkpoint.name == name, checkpoint.options == options.searchIdentity,
            checkpoint.threads.count <= scheduler.threads.capacity,
            let report = try? checkpoint.counts.report(name)
        else { throw .foreignCheckpoint(of: checkpoint.name) }
        scheduler.wanted = checkpoint.attention
        scheduler.foreign = checkpoint.counts.foreign.map { ForeignCall(known: $0) }
        scheduler.sharedLocks.met = checkpoint.counts.sharedLock
        scheduler.hasSeenWork = checkpoint.counts.hasSeenWork
        scheduler.hasSeenOthers = checkpoint.counts.hasSeenOthers
        scheduler.threads.numbers = checkpoint.threads
        scheduler.objects.numbers = checkpoint.objects
        return report
    }

    /// Where the exploration is, between two executions; nil where going on makes no sense.
    func checkpoint(
        _ strategy: any Resumable, _ report: ExplorationReport, _ number: Int,
        _ scheduler: Scheduler
    ) -> Checkpoint? {
        // The types whose releases are steps are known by where this process has them. Discrete
        // time passes without a choice of the strategy.
        if scheduler.mustStop || scheduler.hasReferenceSteps || options.time == .discrete {
            return nil
        }
        var counts = Checkpoint.Counts(report, number)
        counts.abandonedThreads += scheduler.abandoned
        counts.mutations += scheduler.mutant?.hits ?? 0
        counts.foreign = scheduler.foreign?.description
        counts.sharedLock = scheduler.sharedLocks.met
        counts.hasSeenWork = scheduler.hasSeenWork
        counts.hasSeenOthers = scheduler.hasSeenOthers
        return Checkpoint(
            name: name, options: options.searchIdentity, attention: scheduler.attention,
            threads: scheduler.threads.numbers, objects: scheduler.objects.numbers,
            counts: counts, search: strategy.state)
    }
}

/// How far an exploration is.
public struct ExplorationProgress: Sendable {
    public let name: String
    /// Executions so far, those before a checkpoint included.
    public let executions: Int
    /// Seconds so far, those before a checkpoint included.
    public let seconds: Double
    /// Executions in a second, since the exploration began or went on.
    public let rate: Double
    /// About how many seconds are left, by the limits of the options and by the branches of the
    /// search that are known; nil where nothing can be said.
    ///
    /// A guess: what is left is taken to be like what lies behind, and branches are still found.
    public let secondsLeft: Double?

    package init(
        name: String, executions: Int, seconds: Double, rate: Double, secondsLeft: Double?
    ) {
        self.name = name
        self.executions = executions
        self.seconds = seconds
        self.rate = rate
        self.secondsLeft = secondsLeft
    }
}

/// The pace of one run: when it began, and when to say something of it.
struct Pace {
    private let start = quiesce_monotonic_nanoseconds()
    /// What was counted before.
    private(set) var executionsBefore = 0
    private var secondsBefore = 0.0
    private var next = 1.0

    init(after report: ExplorationReport) { begin(after: report) }

    mutating func begin(after report: ExplorationReport) {
        (executionsBefore, secondsBefore) = (report.executions, report.seconds)
    }

    var secondsHere: Double { Double(quiesce_monotonic_nanoseconds() - start) / 1e9 }
    var seconds: Double { secondsBefore + secondsHere }

    /// Whether a listener has heard nothing for a while.
    mutating func isTimeToTell(_ executions: Int) -> Bool {
        // The clock costs as much as a step.
        guard executions & 7 == 0 else { return false }
        let now = secondsHere
        guard now >= next else { return false }
        next = now + 0.25
        return true
    }

    /// - Parameter explored: which part of the known search tree lies behind.
    func progress(
        _ report: ExplorationReport, _ explored: Double, _ options: ExplorationOptions
    ) -> ExplorationProgress {
        let now = secondsHere
        let here = report.executions - executionsBefore
        let rate = Double(here) / max(now, 1e-9)
        var left = options.secondsLimit - now
        if options.executionLimit < .max, rate > 0 {
            left = min(left, Double(options.executionLimit - here) / rate)
        }
        // From less than this nothing can be told.
        if explored >= 0.02 { left = min(left, seconds * (1 - explored) / explored) }
        return ExplorationProgress(
            name: report.name, executions: report.executions, seconds: seconds, rate: rate,
            secondsLeft: left < .infinity ? max(left, 0) : nil)
    }
}
