// SPDX-License-Identifier: Apache-2.0

public import Substrate

/// One whom a teardown waits for: who is inside of a gate, or what a queue runs.
public struct Occupant: Sendable, CustomStringConvertible {
    /// What thread, task or item it is.
    public let name: String
    /// Since when it is there.
    public let since: Clock.Instant
    /// For how long that was when the error was made.
    public let duration: Duration
    /// Whether it came then. Else it was found there then, and came before.
    public let isExact: Bool

    /// - Parameter now: when the error is made.
    init(_ name: String, since: Clock.Instant, isExact: Bool, at now: Clock.Instant) {
        self.name = name
        self.since = since
        self.duration = now - since
        self.isExact = isExact
    }

    public var description: String { "\(name), for \(isExact ? "" : "more than ")\(duration)" }
}
