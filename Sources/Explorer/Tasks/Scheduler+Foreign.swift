// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// Threads that nobody explores: those of a Dispatch queue, of an event loop, of Foundation.
//
// What they do to explored tasks arrives in an inbox, which is emptied between two steps. When a
// step comes then depends on the machine; so a program in which they take part is not searched but
// run a number of times, and coverage says so.
extension Scheduler {
    /// Whether a thread that nobody explores has taken part, or was given something to do.
    var hasForeignPart: Bool {
        jobs.hasHandedOver || jobs.inbox.wasUsed || sharedLocks.hasDecided
    }

    /// The running thread hands work to a thread that nobody explores, or perhaps wakes one.
    func noteHandOver(mayOnlyWake: Bool) {
        jobs.inbox.expectOthers()
        if mayOnlyWake { jobs.mayHaveWoken = true } else { jobs.hasHandedOver = true }
    }

    // MARK: What arrives

    /// Learns what other threads have done to the tasks of this execution.
    @inline(__always)
    func admitArrivals() {
        if jobs.inbox.hasMail { admitAll() }
    }

    @inline(never)
    private func admitAll() {
        let running = current
        current = -1
        while let arrival = unsafe jobs.inbox.take() { unsafe admit(arrival) }
        current = running
    }

    private func admit(_ arrival: quiesce_arrival) {
        if let trap = unsafe arrival.trap {
            return noteTrapElsewhere(unsafe trap.pointee)
        }
        let job = unsafe UInt(bitPattern: arrival.job)
        let kind = unsafe arrival.job_kind
        let thread = jobs.table.value(of: job)
        guard thread >= 0 || kind != 0 else { return }
        switch unsafe UInt32(arrival.kind) {
        case quiesce_arrival_queued.rawValue:
            unsafe taskQueuedElsewhere(thread, UInt(bitPattern: arrival.executor))
        case quiesce_arrival_enqueued.rawValue:
            jobQueued(job, kind: kind, on: unsafe arrival.is_main ? .main : .pool)
        case quiesce_arrival_begins.rawValue:
            // It is not known to us until it is queued again.
            threads[thread].standing = .suspended
        default: taskCompleted(job)
        }
    }

    private func taskQueuedElsewhere(_ thread: Int32, _ executor: UInt) {
        switch threads[thread].standing {
        case .suspended: break
        // It has let go of the actor whose next task is about to run.
        case .running where !isStillRunning(threads[thread].job): break
        default: return
        }
        threads[thread].executor = executor
        stopTimer(of: thread)
        threads[thread].standing = .inActorQueue
        if let recorder, mode == .exploring {
            recorder.note(
                thread: thread, .note("resumed by a thread that is not explored"), site: nil)
        }
    }

    // MARK: Waiting

    /// For how many seconds an exploration waits before it claims a trap that no other exploration
    /// can have caused.
    private static let patienceWhenAlone = 2.0

    /// Nobody can go on, and a task is suspended. Waits, in real time, for a thread that nobody
    /// explores to resume it. False when none has in time, or it does not matter any more.
    func awaitForeign() -> Bool {
        guard seesAll, mode == .exploring, verdict == nil, !stuckTasks.isEmpty else { return false }
        let start = quiesce_monotonic_nanoseconds()
        while true {
            if jobs.inbox.hasMail {
                admitAll()
                return true
            }
            let waited = Double(quiesce_monotonic_nanoseconds() - start) / 1e9
            let isInVain = waited >= foreignPatience
            if isInVain || waited >= Self.patienceWhenAlone,
                let trap = jobs.inbox.claimTrap(inVain: isInVain)
            {
                noteTrapElsewhere(trap)
                return true
            }
            if isInVain { break }
            heartbeat.tick()
            _ = jobs.inbox.wait(nanoseconds: 10_000_000)
        }
        if isForeignExpected { jobs.hasWaitedInVain = true }
        jobs.hasWaited = true
        return false
    }

    /// A task is about to sleep. Explored time passes at once, another thread's does not: so that a
    /// loop which sleeps until such a thread has done its part does not turn too often, every sleep
    /// takes longer than the one before.
    func giveForeignTime() {
        guard hasForeignPart, mode == .exploring else { return }
        heartbeat.tick()
        _ = jobs.inbox.wait(nanoseconds: 1_000_000 * UInt64(threads.started.count))
    }

    /// Whether some thread may have been told to resume a task.
    private var isForeignExpected: Bool { hasForeignPart || jobs.mayHaveWoken }

    /// For how many seconds to wait. Where nothing is known of other threads once, and a moment:
    /// one of them may look for work by itself.
    private var foreignPatience: Double {
        guard isForeignExpected else { return jobs.hasWaited ? 0 : min(0.05, patience) }
        return patience > 0 ? patience : .infinity
    }
}
