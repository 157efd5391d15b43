// SPDX-License-Identifier: Apache-2.0

/// Where an exploration stopped, so that another one, in another process too, can go on from there.
///
/// The two together run exactly the executions that one exploration would have run. The program and
/// the options must be the same; a program that takes other steps is noticed when its current
/// schedule is run again.
public struct Checkpoint: Sendable, Codable {
    /// The name of the exploration.
    public let name: String
    /// What was counted so far.
    public var executions: Int { counts.executions }

    let options: String
    let attention: Attention
    let threads: [ThreadTable.Number]
    let objects: ObjectTable.Numbers
    let counts: Counts
    let search: SearchState

    /// What a report has of the executions before.
    struct Counts: Codable {
        var executions = 0
        var blocked = 0
        var deadlocked = 0
        var cut = 0
        var verdicts: [Verdict.Kind: Int] = [:]
        var defect: String?
        var seconds = 0.0
        var abandonedThreads = 0
        var mutations = 0
        var found: Found?
        /// What bounds the coverage: see `Scheduler`.
        var foreign: String?
        var sharedLock: String?
        var hasSeenWork = false
        var hasSeenOthers = false
    }

    /// The failure to show when the exploration is over.
    struct Found: Codable {
        var kind: Verdict.Kind
        var sentence: String
        var token: String
        var number: Int
    }
}

/// Where a strategy is in its search.
enum SearchState: Codable {
    case optimal(ReductionState)
    case depthFirst(DepthFirst.State)
    case random(done: Int)
}

/// A strategy that can stop and go on in another process.
protocol Resumable: Strategy {
    /// Where the search is, between two executions.
    var state: SearchState { get }
    /// Goes on from `state`, before the first execution. False when it is another strategy's.
    func resume(from state: SearchState) -> Bool
    /// After an execution of a resumed search: how the program differs from the one with which the
    /// search was begun, as far as that is seen.
    func misfit() -> Divergence?
    /// Which part of the search tree as it is known lies behind, from 0 to 1.
    var explored: Double { get }
}

extension ExplorationOptions {
    /// What two explorations must share for one to go on where the other stopped.
    var searchIdentity: String {
        "\(strategy), \(granularity), \(reduction), \(time), \(stepLimit) steps, \(processorCount) "
            + "processors, \(threadLimit) threads, first failure \(stopsAtFirstFailure), "
            + "addresses \(reusesAddresses), executors \(isLimitedToExecutors), "
            + "mutation \(mutation.map { "\($0)" } ?? "none")"
    }
}

extension Checkpoint.Counts {
    init(_ report: ExplorationReport, _ number: Int) {
        (executions, blocked) = (report.executions, report.blocked)
        (deadlocked, cut) = (report.deadlocked, report.cut)
        (verdicts, defect) = (report.verdicts, report.defect)
        (seconds, abandonedThreads) = (report.seconds, report.abandonedThreads)
        mutations = report.mutations
        found = report.counterexample.map {
            Checkpoint.Found(
                kind: $0.verdict.kind, sentence: $0.verdict.sentence, token: "\($0.token)",
                number: number)
        }
    }

    /// The report with which an exploration goes on.
    func report(_ name: String) throws(ReplayToken.ParseError) -> ExplorationReport {
        var report = ExplorationReport(name: name)
        (report.executions, report.blocked) = (executions, blocked)
        (report.deadlocked, report.cut) = (deadlocked, cut)
        (report.verdicts, report.defect) = (verdicts, defect)
        (report.seconds, report.abandonedThreads) = (seconds, abandonedThreads)
        report.mutations = mutations
        if let found {
            report.counterexample = Counterexample(
                verdict: Verdict(found.kind, found.sentence), trace: Trace(),
                token: try ReplayToken(found.token))
        }
        return report
    }
}
