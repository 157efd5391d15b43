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

/// Is told what becomes of the items of a queue.
///
/// The events carry who an item is, and nothing to reach it by: it may be gone. They come on the
/// threads that do what they tell of, with no lock held, so that one item's `queued` may come after
/// its `started`; the ticket tells which belong together. Kernel counterparts: the tracepoints
/// `workqueue_queue_work`, `workqueue_execute_start`, `workqueue_execute_end`.
public protocol WorkTracer: Sendable {
    func queued(_ event: WorkEvent)
    func started(_ event: WorkEvent)
    func ended(_ event: WorkEvent)
}

/// What a tracer is told.
public struct WorkEvent: Sendable, Hashable {
    /// Who the item is.
    public let item: WorkID
    public let name: String
    public let queue: String
    /// Which of the queue's enqueueings it is, counted from 1.
    public let ticket: UInt64
}
