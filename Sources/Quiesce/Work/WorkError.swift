// SPDX-License-Identifier: Apache-2.0

/// Why a wait for work was given up, or was not begun.
public enum WorkError: Error, Sendable, CustomStringConvertible {
    /// The caller is the item's function, or an item of the queue: it would wait for itself.
    case inside(item: String, queue: String)
    /// The deadline passed with these items running, and so many pending.
    case timedOut(queue: String, running: [Occupant], pending: Int)
    /// The task was cancelled while it waited.
    case cancelled(queue: String)

    public var description: String {
        switch self {
        case .inside(let item, let queue):
            "\(item), which runs on \(queue), would wait for itself to end"
        case .timedOut(let queue, let running, let pending):
            "\(queue) was not done in time, with "
                + (running.isEmpty ? "nothing running" : "running: ")
                + running.map(\.description).joined(separator: "; ")
                + (pending == 0 ? "" : "; \(pending) pending")
        case .cancelled(let queue): "waiting for \(queue) was cancelled"
        }
    }
}
