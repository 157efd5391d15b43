// SPDX-License-Identifier: Apache-2.0

/// Is told what becomes of the items of a queue.
///
/// An event carries the identity of an item, and nothing to reach it by: it may be gone. Events
/// come on the threads that do what they tell of, with no lock held, so that one item's `queued`
/// may come after its `started`; the ticket tells which belong together. Kernel counterparts: the
/// tracepoints `workqueue_queue_work`, `workqueue_execute_start`, `workqueue_execute_end`.
public protocol WorkTracer: Sendable {
    func queued(_ event: WorkEvent)
    func started(_ event: WorkEvent)
    func ended(_ event: WorkEvent)
}
