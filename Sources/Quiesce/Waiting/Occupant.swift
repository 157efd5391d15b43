// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A thread or a task inside a gate, or an item that a queue runs: what a wait is for.
public struct Occupant: Sendable, Equatable, CustomStringConvertible {
    /// What thread, task or item it is.
    public let name: String
    /// Since when it is there.
    public let since: ContinuousClock.Instant
    /// For how long that was when the error was made.
    public let duration: Duration
    /// Whether `since` is when it came. Otherwise it was found there then, and came before.
    public let isExact: Bool

    /// - Parameter now: when the error is made.
    init(_ name: String, since: WorldClock.Instant, isExact: Bool, at now: WorldClock.Instant) {
        self.name = name
        self.duration = now - since
        self.since = ContinuousClock.now - duration
        self.isExact = isExact
    }

    public var description: String { "\(name), for \(isExact ? "" : "more than ")\(duration)" }
}
