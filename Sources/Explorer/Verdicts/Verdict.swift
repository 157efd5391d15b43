// SPDX-License-Identifier: Apache-2.0

/// What an execution did wrong.
public struct Verdict: Sendable, Equatable {
    public enum Kind: String, Sendable, CaseIterable, Codable {
        case expectation = "failed expectation"
        case trap
        case useAfterFree = "use after free"
        case doubleFree = "double free"
        case leak
        case race = "data race"
        case deadlock
        case lostWakeUp = "lost wake-up"
        /// A task waits for something that nobody is left to do.
        case neverResumed = "never resumed"
        /// The main task has ended, and another one waits for ever.
        case leakedTask = "leaked task"
        case resumedTwice = "resumed twice"
        /// A job blocked its thread, which is one of few that all tasks share.
        case blockingTask = "blocking task"
        case orderViolation = "declared-order violation"
        case misuse
        case stepLimit = "step limit reached"
        /// The program needs more of something than the explorer has room for, which is no fault of
        /// the program's.
        case explorerLimit = "limit of the explorer"
        case blockedOutside = "blocked outside Substrate"
    }

    public let kind: Kind
    /// One sentence that names objects and threads; steps are written as `#12#` until they are
    /// numbered for display.
    public let sentence: String
    /// The steps (positions in the execution) that the sentence is about, in its order.
    let steps: [Int]
    /// The objects that the sentence is about.
    let objects: [Int32]

    init(_ kind: Kind, _ sentence: String, steps: [Int] = [], objects: [Int32] = []) {
        self.kind = kind
        self.sentence = sentence
        self.steps = steps
        self.objects = objects
    }
}
