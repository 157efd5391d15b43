// SPDX-License-Identifier: Apache-2.0

/// What an exploration did and found.
public struct ExplorationReport: Sendable {
    /// Which part of the program's behaviours was seen.
    public enum Coverage: Sendable, Equatable, CustomStringConvertible {
        /// All: every interleaving that can differ.
        case all
        /// All up to a bound, which is named: preemptions, executions, seconds, steps, time.
        case bounded(by: String)
        /// This many at random.
        case sampled(Int)

        /// One word: `all`, `bounded` or `sampled`.
        public var word: String {
            switch self {
            case .all: "all"
            case .bounded: "bounded"
            case .sampled: "sampled"
            }
        }

        public var description: String {
            switch self {
            case .all: "all"
            case .bounded(let bound): "bounded (\(bound))"
            case .sampled(let count): "sampled (\(count))"
            }
        }
    }

    public let name: String
    /// Executions, each a different trace under the optimal strategy. Those that deadlock or fail
    /// are among them.
    public internal(set) var executions = 0
    /// Executions given up because they repeat others. 0 for the optimal strategy, but where it
    /// cannot be told what a step touches elsewhere: operations of primitives taken as steps, tasks
    /// declared to share little, memory that is used again, objects without labels.
    public internal(set) var blocked = 0
    /// Executions that ended with a thread that waits for ever.
    public internal(set) var deadlocked = 0
    /// Executions that reached the step limit.
    public internal(set) var cut = 0
    /// Executions with a verdict, by its kind.
    public internal(set) var verdicts: [Verdict.Kind: Int] = [:]
    public internal(set) var coverage = Coverage.all
    /// The memory model that coverage holds for.
    public let memoryModel = "sequentially consistent; asymmetric stores are buffered"
    /// What the explorer itself did wrong, with a token that shows where; nil as it should be.
    /// Whatever it did not find may be there all the same, so that coverage is not *all*. Please
    /// report it.
    public internal(set) var defect: String?
    public internal(set) var seconds = 0.0
    /// Threads that did not end even when every wait was granted.
    public internal(set) var abandonedThreads = 0
    /// How often an operation met the mutation that the options ask for.
    public internal(set) var mutations = 0
    /// The first failure.
    public internal(set) var counterexample: Counterexample?
    /// Where to go on, when the exploration stopped at a limit or was interrupted.
    public internal(set) var checkpoint: Checkpoint?

    /// The result in a word or three: what kind of failure is shown, or else which part of the
    /// behaviours was seen without one. *Verified* stands for all of them, and for nothing less.
    public var result: String {
        if let counterexample { return counterexample.verdict.kind.rawValue }
        if failed > 0 { return "failed" }
        return coverage == .all ? "verified" : coverage.word
    }

    /// Executions with a verdict.
    public var failed: Int { verdicts.values.reduce(0, +) }
    /// Executions that failed other than by a deadlock.
    public var failedOtherwise: Int {
        failed - (verdicts[.deadlock] ?? 0) - (verdicts[.lostWakeUp] ?? 0)
    }

    init(name: String) { self.name = name }
}
