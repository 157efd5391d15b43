// SPDX-License-Identifier: Apache-2.0

/// What happened in the execution that failed: the steps that matter, by thread.
public struct Trace: Sendable, Codable {
    /// One step of one thread.
    public struct Row: Sendable, Codable {
        /// The step's number, nil for a row that only comments.
        public var step: Int?
        /// The index of its thread.
        public var thread: Int
        public var text: String
        /// A mark that refers to `sources`, or says what became of the step.
        public var badge: String
        /// What the step changed.
        public var state: String
    }

    /// Where a marked step is in the source.
    public struct Source: Sendable, Codable {
        public var badge: String
        public var label: String
        public var file: String
        public var line: Int
        public var text: String?
    }

    /// The threads that have a column.
    public internal(set) var threads: [String] = []
    public internal(set) var rows: [Row] = []
    /// What the last column is about.
    public internal(set) var stateTitle = "state"
    public internal(set) var sources: [Source] = []
    /// The verdict's sentence, with the numbers of the steps shown.
    public internal(set) var sentence = ""
    /// What else is to be said.
    public internal(set) var remark: String?
    /// Steps shown, and steps in all.
    public internal(set) var shown = 0
    public internal(set) var total = 0
    public internal(set) var preemptions = 0
    /// Whether no schedule with fewer preemptions fails in the same way.
    public internal(set) var isMinimal = false
    /// Which execution of the exploration failed first; 0 when replayed.
    public internal(set) var executionNumber = 0

    init() {}

    /// How a trace came about.
    struct Origin {
        var number = 0
        var preemptions = 0
        var isMinimal = false
    }
}
