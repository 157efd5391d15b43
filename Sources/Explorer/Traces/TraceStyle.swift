// SPDX-License-Identifier: Apache-2.0

/// How a counterexample is shown.
public struct TraceStyle: Sendable {
    public var title: String
    /// Where the test is, at the right of the title.
    public var location: String
    /// The command that shows the failure again.
    public var replay: String
    /// What shows all events, where something does.
    public var rest: String?
    public var usesColor = false
    public var width = 100

    public init(title: String, location: String, replay: String) {
        self.title = title
        self.location = location
        self.replay = replay
    }
}
