// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// What tasks publish to each other, for the race check.
//
// The runtime announces to sanitizers what of a task happens before what; that is taken over as it
// is. It says nothing where it relies on its own atomics: the turns of an executor, a continuation
// that is resumed before its task waits, its mutexes, and the flag of a task that is cancelled.
// Those are added here.
extension Scheduler {
    /// The running thread releases `task`: it queues, resumes or completes it.
    func taskReleased(_ task: UInt) {
        guard attention.races, current >= 0 else { return }
        sync.release(current, to: task)
        let thread = jobs.table.value(of: task)
        guard thread >= 0, thread != current, threads[thread].standing == .running else { return }
        // It resumes a continuation whose task does not wait yet. The task will find that it need
        // not, of which the runtime does not tell.
        sync.acquire(thread, from: task)
    }

    /// The running thread acquires `task`: it has found that the task is complete, or cancels it.
    func taskAcquired(_ task: UInt) {
        guard current >= 0 else { return }
        noteAwaited(task)
        guard attention.races else { return }
        sync.acquire(current, from: task)
    }

    /// The running thread has found that a task is complete. Where it was the one that made the
    /// task, another may take its number.
    private func noteAwaited(_ task: UInt) {
        guard threads.hasManyChildren(current) else { return }
        let thread = jobs.completed.value(of: task)
        if thread >= 0, threads[thread].parent == current { threads[thread].mayMakeRoom = true }
    }

    /// The running thread is about to cancel `task`, or with -1 children of its own.
    ///
    /// A task that finds itself cancelled calls its handlers itself, and the cancellation comes
    /// before them. The runtime does not tell when the task finds that. So the cancellation comes
    /// before all that the task and its children do from here on. What they did before is as
    /// unordered as it was.
    func orderCancellation(of task: Int32) {
        guard attention.races, current >= 0 else { return }
        let root = task < 0 ? current : task
        sync.release(current, to: threads[root].job + 1)
        for index in 0..<threads.started.count where threads.started[index] != current {
            var ancestor = threads.started[index]
            while ancestor >= 0, ancestor != root { ancestor = threads[ancestor].parent }
            if ancestor == root {
                sync.acquire(threads.started[index], from: threads[root].job + 1)
            }
        }
    }

    /// The running thread has locked a mutex of the runtime's.
    func acquireMutex(_ mutex: UInt) {
        guard attention.races else { return }
        sync.acquire(current, from: mutex)
    }

    /// The running thread is about to unlock a mutex of the runtime's.
    func releaseMutex(_ mutex: UInt) {
        guard attention.races else { return }
        sync.release(current, to: mutex)
    }

    /// A job of `thread` begins: it comes after all that made it ready, and after the job that had
    /// its executor before.
    func acquireExecutor(_ thread: Int32) {
        guard attention.races else { return }
        sync.acquire(thread, from: threads[thread].job)
        if let executor = serialExecutor(of: thread) { sync.acquire(thread, from: executor) }
    }

    /// An executor of the program's own runs `thread` in the midst of a job of `runner`, which may
    /// be that thread's own.
    func acquireExecutor(_ thread: Int32, from runner: Int32) {
        guard attention.races else { return }
        if thread != runner { return sync.spawn(thread, by: runner) }
        threads[thread].home = threads[thread].executor
        acquireExecutor(thread)
    }

    /// The job of `thread` is over.
    func releaseExecutor(_ thread: Int32) {
        guard attention.races, let executor = serialExecutor(of: thread) else { return }
        sync.release(thread, to: executor)
    }

    /// A task comes into being where another may have been.
    func forgetClocks(of thread: Int32) {
        guard attention.races else { return }
        sync.forget(threads[thread].job)
        sync.forget(threads[thread].job + 1)
    }

    /// What runs one job at a time and runs the present job of `thread`; nil for the pool. Where it
    /// is not known, one for all: a race that nobody sees is better than one that is none.
    private func serialExecutor(of thread: Int32) -> UInt? {
        if !seesAll { return 1 }
        if threads[thread].place == .main { return 2 }
        return threads[thread].home == 0 ? nil : threads[thread].home
    }
}
