// SPDX-License-Identifier: Apache-2.0

public import Substrate

/// Why a gate was not closed.
public enum GateError: Error, Sendable, CustomStringConvertible {
    /// The caller is inside: it would wait for itself.
    case inside(gate: String)
    /// The deadline passed with these inside.
    case timedOut(gate: String, [Occupant])
    /// The task was cancelled while it waited.
    case cancelled(gate: String)

    /// One who is inside.
    public struct Occupant: Sendable, CustomStringConvertible {
        /// What thread or task it is.
        public let name: String
        /// Since when it is inside.
        public let since: Clock.Instant
        /// For how long that was when the error was made.
        public let duration: Duration
        /// Whether it entered then. Else it was found inside then, and entered before.
        public let isExact: Bool

        public var description: String { "\(name), inside for \(isExact ? "" : "more than ")\(duration)" }
    }

    public var description: String {
        switch self {
        case .inside(let gate):
            "\(gate) was closed from inside, which would wait for itself; leave first, or use closeFromInside()"
        case .timedOut(let gate, let occupants):
            occupants.isEmpty
                ? "\(gate) was not closed in time, and the last one left meanwhile; it is closing"
                : "\(gate) was not closed in time, with inside: "
                    + occupants.map(\.description).joined(separator: "; ") + ". It is closing"
        case .cancelled(let gate): "waiting for \(gate) to close was cancelled; it is closing"
        }
    }
}
