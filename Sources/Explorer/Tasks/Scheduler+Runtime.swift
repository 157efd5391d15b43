// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

/// A mutex of the runtime's that a fiber holds.
struct RuntimeLock: BitwiseCopyable {
    var mutex: UInt
    var holder: Int32
    var count = 1
}

// What the runtime does of which others may see a part: it locks a task's records, it reads the
// clock, it cancels.
extension Scheduler {
    /// The runtime is about to lock `mutex`, on behalf of the running thread.
    ///
    /// A task's records are locked while somebody goes through them: the handlers that a
    /// cancellation calls run meanwhile. All fibers are on one thread of the system, which the
    /// mutex would let in again; so a thread that comes waits here.
    func runtimeLocks(_ mutex: UInt, ofStream isStream: Bool) {
        guard seesAll, mode == .exploring || mode == .finishing, current >= 0 else { return }
        let index = place(of: mutex)
        if index >= 0 {
            if jobs.locks[index].holder == current {
                jobs.locks[index].count += 1
                return
            }
            noteRecords(at: mutex)
            if let recorder { recorder.callers[current] = callers() }
            threads[current].expected = Bits(low: UInt64(mutex))
            guard takeStep(.records, on: owner(of: mutex)) else { return }
        } else if isStream {
            noteStream()
        }
        noteRecords(at: mutex)
        acquireMutex(mutex)
        jobs.locks.append(RuntimeLock(mutex: mutex, holder: current))
    }

    /// The running thread is about to use an asynchronous stream. What it finds there depends on
    /// what the tasks did before that it has made or resumed. (To let others come before each use
    /// makes a hundred thousand executions of some hundreds.)
    private func noteStream() {
        noteEffect()
        // What the main task does alone says nothing about the others.
        if current != threads.started[0] { hasSeenWork = true }
    }

    func runtimeUnlocks(_ mutex: UInt) {
        let index = place(of: mutex)
        guard index >= 0, jobs.locks[index].holder == current else { return }
        jobs.locks[index].count -= 1
        guard jobs.locks[index].count == 0 else { return }
        jobs.locks[index] = jobs.locks[jobs.locks.count - 1]
        jobs.locks.truncate(to: jobs.locks.count - 1)
        noteRecords(at: mutex)
        releaseMutex(mutex)
        guard mode == .exploring || mode == .finishing else { return }
        for thread in 0..<Int(threads.count)
        where threads[thread].state == .parked && threads[thread].kind == .records
            && threads[thread].expected.low == UInt64(mutex)
        {
            threads[thread].enabler = lastPosition(of: current)
        }
    }

    private func place(of mutex: UInt) -> Int {
        for index in 0..<jobs.locks.count where jobs.locks[index].mutex == mutex { return index }
        return -1
    }

    /// The task whose records `mutex` protects, which is a part of the task; -1 where it is none's.
    private func owner(of mutex: UInt) -> Int32 {
        var found: Int32 = -1
        for index in 0..<threads.started.count where threads[threads.started[index]].isTask {
            let task = threads[threads.started[index]].job
            guard task <= mutex, mutex - task < Self.taskSize else { continue }
            if found < 0 || threads[found].job < task { found = threads.started[index] }
        }
        return found
    }

    /// More than the runtime's part of a task.
    private static let taskSize: UInt = 1024

    /// On its way to the next step the running thread locks or unlocks the records of another task,
    /// which that task may notice.
    private func noteRecords(at mutex: UInt) {
        guard isDeclared else { return }
        let task = owner(of: mutex)
        if task >= 0, task != current { amendShared(threads[task].taskObject) }
    }

    /// Whether nobody holds the mutex that the thread waits for.
    func mayLockRecords(_ index: Int) -> Bool {
        place(of: UInt(threads[index].expected.low)) < 0
    }

    /// The holder of the mutex that the thread waits for, -1 for none.
    func holderOfRecords(for thread: Int32) -> Int32 {
        let index = place(of: UInt(threads[thread].expected.low))
        return index < 0 ? -1 : jobs.locks[index].holder
    }

    /// The time of the runtime's clocks: the explored one, where there are tasks. The last step has
    /// read it.
    var runtimeTime: UInt64 {
        guard seesAll, jobs.isUsed, mode == .exploring || mode == .finishing else { return 0 }
        if hasOrderedTime { amend { addClock(to: &$0, writes: false) } }
        return clock.now
    }

    /// The running thread is about to cancel `task`, or with 0 the children of a group: a step,
    /// since others may have come before. At the beginning of a job it is none: whatever came
    /// before could have come before the job.
    func taskCancelled(_ task: UInt) {
        guard current >= 0, seesAll else { return }
        let thread = task == 0 ? -1 : jobs.table.value(of: task)
        defer { orderCancellation(of: thread) }
        guard !threads[current].isTask || threads[current].hasStepped else { return }
        guard takeStep(.cancel, on: thread) else { return }
        if let recorder {
            recorder.describe(
                old: "", new: thread < 0 ? "cancels a group" : "cancels \(name(ofThread: thread))")
        }
    }
}
