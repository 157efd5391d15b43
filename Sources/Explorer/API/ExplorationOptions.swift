// SPDX-License-Identifier: Apache-2.0

/// How an exploration goes about its work, and when it gives up.
public struct ExplorationOptions: Sendable {
    /// Which executions are run.
    public enum Strategy: Sendable, Equatable {
        /// One execution for each Mazurkiewicz trace, by optimal dynamic partial-order reduction.
        /// Exhaustive.
        case optimal
        /// Every interleaving of steps, with no reduction. Exhaustive, and a cross-check for small
        /// programs.
        case depthFirst
        /// Every interleaving with at most this many preemptions.
        case preemptions(Int)
        /// This many executions, each step picked at random.
        case random(executions: Int, seed: UInt64)
    }

    /// When time passes.
    public enum Time: Sendable, Equatable {
        /// A pending timer may fire at any step, in the order of deadlines: what a real clock can
        /// do.
        case any
        /// Time passes only when nothing else can run. Not every behaviour: coverage is then
        /// *bounded (time)*.
        case discrete
    }

    /// What the jobs of tasks are taken to share, apart from Substrate's objects.
    public enum Reduction: Sendable, Equatable {
        /// Anything: each job conflicts with every other, and with threads. Sound whatever the
        /// program does.
        case sound
        /// Nothing but their actors, and tasks that they start, await, resume or cancel. Jobs that
        /// differ in all of these commute. The program's author says so; coverage is then
        /// *bounded* by that word.
        case declared
    }

    /// What is a step.
    public enum Granularity: Sendable, Equatable {
        /// Every operation of Substrate: for the proof of a primitive.
        case fine
        /// An operation of one of Quiesce's primitives is one step, as proven by their own tests;
        /// what is Substrate's is as above.
        case coarse
    }

    public var strategy: Strategy = .optimal
    public var granularity: Granularity = .coarse
    public var reduction: Reduction = .sound
    public var time: Time = .any
    /// An execution with more steps is cut, which is a finding.
    public var stepLimit = 10_000
    /// The exploration stops after this many executions.
    public var executionLimit = Int.max
    /// The exploration stops after this many seconds.
    public var secondsLimit = Double.infinity
    /// Whether to stop at the first failure rather than count to the end.
    public var stopsAtFirstFailure = true
    /// The kind of failure to show when an exploration that counts to the end finds several; nil
    /// for the first.
    public var soughtVerdict: Verdict.Kind?
    /// Whether a failure is searched again for a schedule with the fewest preemptions.
    public var minimizes = true
    /// Whether freed `Storage` is allocated again within an execution, to find ABA mistakes.
    public var reusesAddresses = false
    /// Seconds without an operation after which a thread counts as blocked outside Substrate; 0 for
    /// never.
    public var watchdogSeconds = 10.0
    /// How many processors the explored world has: as many items of work queues run at a time.
    /// Threads interleave all the same.
    public var processorCount = 2
    /// Threads and tasks that a program may have in an execution. One that has more meets a limit
    /// of the explorer.
    public var threadLimit = 1_024
    /// Operations that a thread may take while a finished execution is wound up.
    public var drainLimit = 1_000
    /// Whether a trace shows every event, also those that have no part in the failure.
    public var showsEveryEvent = false
    /// A mistake to make in the program under test, to see whether the exploration notices.
    public var mutation: Mutation?
    /// For tests: how many tasks a thread starts before those that have ended make room.
    package var keptTasks = 32
    /// For tests: whether to see of tasks only what executors see.
    var isLimitedToExecutors = false
    /// Whether the releases of references are looked at.
    var watchesReferences = true
    /// For tests of the explorer: called at the end of each execution that counts, before what is
    /// left of it is wound up.
    package var concluded: (@Sendable (Verdict.Kind?) -> Void)?
    /// Called now and then with how far the exploration is: not in its first second, and at most
    /// four times in each later one.
    public var progress: (@Sendable (ExplorationProgress) -> Void)?

    public init(strategy: Strategy = .optimal) {
        self.strategy = strategy
    }
}
