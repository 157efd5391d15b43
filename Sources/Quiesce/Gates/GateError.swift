// SPDX-License-Identifier: Apache-2.0

/// Why a gate was not closed.
public enum GateError: Error, Sendable, CustomStringConvertible {
    /// The caller is inside: it would wait for itself.
    case inside(gate: String)
    /// The deadline passed with these inside.
    case timedOut(gate: String, [Occupant])
    /// The task was cancelled while it waited.
    case cancelled(gate: String)

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
