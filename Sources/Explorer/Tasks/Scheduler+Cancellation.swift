// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// While a task's cancellation handlers run, the runtime holds a lock on the task's records, which we do not see and which would not keep
// one fiber from another. So what would wait for that lock waits here: whoever resumes or awaits the task, and the task itself before its
// next job. In the midst of a job it stands still as well, since it may want its records before its next step, unless its canceller
// has to wait for something that it may hold. What a task could do of a job meanwhile is therefore not explored beside a handler's steps.
extension Scheduler {
    /// `thread` is about to wait for its turn: is it in a cancellation handler, still or again?
    func noteCancellations(by thread: Int32) {
        if threads[Int(thread)].isCancelling, !quiesce_jobs_is_cancelling() { letGoOfRecords(thread) }
        for index in 0..<jobs.cancelled.count {
            let task = Int(jobs.cancelled[index])
            guard threads[task].state != .finished, threads[task].standing != .completed,
                unsafe quiesce_jobs_is_held(UnsafeRawPointer(bitPattern: threads[task].job)!)
            else { continue }
            threads[task].canceller = thread
            threads[Int(thread)].isCancelling = true
        }
        jobs.cancelled.removeAll()
    }

    /// `thread` has left the handlers that it called.
    func letGoOfRecords(_ thread: Int32) {
        threads[Int(thread)].isCancelling = false
        for task in 0..<Int(threadCount) where threads[task].canceller == thread { threads[task].canceller = -1 }
    }

    /// Whether the task must stand still because its cancellation handlers run.
    func isHeldBack(_ task: Int) -> Bool {
        let canceller = threads[task].canceller
        guard threads[Int(canceller)].state == .parked else {
            letGoOfRecords(canceller)
            return false
        }
        if threads[task].kind == .job { return true }
        return threads[Int(canceller)].canceller < 0 && isEnabled(canceller)
    }

    /// The running thread waits until the cancellation handlers of `task` have run.
    func awaitHandlers(of task: Int32) {
        if threads[Int(task)].canceller != current { _ = takeStep(.records, other: task) }
    }
}
