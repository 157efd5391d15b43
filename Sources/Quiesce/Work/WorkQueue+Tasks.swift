// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Tasks that prefer the queue run on it: `withTaskExecutorPreference(queue) { … }`, or
/// `Task(executorPreference: queue) { … }`.
///
/// Each job of such a task, which is what it does between two suspensions, is a function on the
/// queue and counts towards its limit. A task that is suspended occupies nothing.
///
/// A task cannot be refused: once the queue is closed, the jobs of tasks still run on it. `close()`
/// waits for the jobs that are enqueued, and not for tasks that are suspended. While a job of a
/// task runs, the task is inside the queue: there `flush()`, `drain()` and `close()` throw
/// `.inside`.
extension WorkQueue: TaskExecutor {
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        admitJob { [self] in unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
    }

    /// Runs a job of a task in its turn, whether the queue admits functions or not.
    func admitJob(_ run: @escaping @Sendable () -> Void) {
        checkGeneration()
        whole.write("enqueue on") {
            call(intake.withLock { $0.append(.function(run)) })
            tell(.queued, "a job")
        }
    }
}

/// Runs an actor on an ordered work queue: the actor's jobs and the queue's items exclude each
/// other.
///
///     actor Printer {
///         private let executor = WorkQueueExecutor(WorkQueue(name: "printer", .ordered))
///         nonisolated var unownedExecutor: UnownedSerialExecutor {
///             unsafe executor.asUnownedSerialExecutor()
///         }
///     }
///
/// In an item of the queue `assumeIsolated` succeeds for its actors. A queue that is closed still
/// runs its actors' jobs, as the tasks that wait for them could not go on otherwise.
public final class WorkQueueExecutor: SerialExecutor {
    public let queue: WorkQueue

    /// - Precondition: `queue` is ordered. Items of a concurrent queue would run beside the actor.
    public init(_ queue: WorkQueue) {
        precondition(
            queue.kind == .ordered,
            "an actor runs on an ordered work queue; \(queue.name) runs several items at a time")
        self.queue = queue
    }

    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.admitJob { [self] in unsafe job.runSynchronously(on: asUnownedSerialExecutor()) }
    }

    public func isIsolatingCurrentContext() -> Bool? { queue.runsCaller }

    public func checkIsolated() {
        precondition(queue.runsCaller, "this code does not run on the work queue \(queue.name)")
    }
}
