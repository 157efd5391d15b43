// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// Tasks. A job of a task runs on a fiber that carries one job after the other; which one comes next
// is a step that is picked.
//
// The pool has as many threads as there are jobs, and priorities are ignored: an actor serves its
// tasks in the order of their arrival.
extension Scheduler {
    /// What the runtime calls a job that serves the queue of a default actor, and one that queues a
    /// task that yields again.
    private static let servesActor: UInt8 = 193
    private static let resumesYield: UInt8 = 195

    func resetJobs() {
        jobs.beginExecution()
    }

    /// Starts the main task. False when nothing of it was captured.
    func startMainTask(_ start: () -> Void) -> Bool {
        current = -1
        capturing(start)
        return !threads.started.isEmpty
    }

    /// Captures the jobs of tasks that `body` starts on the explorer's own stack, and what
    /// Substrate is asked to do.
    func capturing(_ body: () -> Void) {
        let block = unsafe quiesce_current_block()
        unsafe block.pointee.observer = Unmanaged<Observer>.passUnretained(self).toOpaque()
        body()
        unsafe block.pointee.observer = nil
    }

    /// While `body` runs, explored threads find the task-local values of the calling task, as
    /// explored tasks do.
    func lendingLocals<Result>(_ body: () -> Result) -> Result {
        jobs.awaitsLender = true
        capturing { Task {} }
        jobs.awaitsLender = false
        defer {
            if jobs.lender != 0 { JobCapture.runOnPool(jobs.lender) }
            jobs.lender = 0
        }
        return body()
    }

    // MARK: What the runtime says

    /// An executor was given a job.
    func jobQueued(_ job: UInt, kind: UInt8, on place: ThreadRecord.Place) {
        if kind == 0 { unsafe quiesce_jobs_learn(UnsafeRawPointer(bitPattern: job)!) }
        if kind == Scheduler.resumesYield || kind == Scheduler.servesActor && seesAll {
            return jobs.chores.append(job)
        }
        if jobs.awaitsLender {
            jobs.lender = job
            return
        }
        var thread = jobs.table.value(of: job)
        if !seesAll, thread >= 0, !isKnown(job) { thread = -1 }
        if thread < 0 { thread = makeTask(job, isOneShot: kind != 0) }
        guard thread >= 0 else { return }
        let index = Int(thread)
        threads[index].isOneShot = kind != 0
        switch threads[index].standing {
        case .ready, .completed: return resumedTwice(thread)
        case .running where thread != current || isStillRunning(job): return resumedTwice(thread)
        case .suspended: noteQueued(thread)
        case .running, .inActorQueue: break
        }
        if place == .main { jobs.mainQueue.append(thread) }
        becomesReady(thread, place)
        if kind == 0, current >= 0, thread != current { noteEnabled(thread) }
    }

    /// A task is about to be put into a queue: an executor's, which then says so, or a default
    /// actor's.
    func taskQueued(_ job: UInt) {
        if jobs.awaitsLender || !seesAll { return }
        var thread = jobs.table.value(of: job)
        if thread < 0 { thread = makeTask(job, isOneShot: false) }
        guard thread >= 0 else { return }
        switch threads[thread].standing {
        case .ready, .inActorQueue, .completed: return
        case .running where thread != current || isStillRunning(job): return
        case .suspended, .running: break
        }
        let executor = unsafe UInt(
            bitPattern: quiesce_jobs_destination(UnsafeRawPointer(bitPattern: job)!))
        threads[thread].executor = executor
        if executor != 0 { if thread == current { arrive(thread) } else { noteEffect() } }
        if isDeclared { noteArrival(of: thread) }
        noteQueued(thread)
        threads[thread].standing = .inActorQueue
        unsafe quiesce_jobs_level(UnsafeMutableRawPointer(bitPattern: job)!)
    }

    /// A task is about to run on this fiber: one that was picked, or the next in the queue of an
    /// actor.
    func taskBegins(_ job: UInt) {
        // Another thread may have put it into the queue just now.
        admitArrivals()
        let thread = jobs.table.value(of: job)
        guard seesAll, thread >= 0, threads[thread].standing == .inActorQueue else { return }
        if thread == current { return acquireExecutor(thread, from: thread) }
        let previous = current
        if previous >= 0, !threads[previous].isTask {
            // An executor of the program's own runs it on a thread: it is part of that.
            threads[thread].standing = .suspended
            return
        }
        let fiber = previous >= 0 ? threads[previous].fiber! : jobs.running!
        if previous >= 0 {
            endJob(previous)
            acquireExecutor(thread, from: previous)
        } else {
            current = jobs.beforeChores
        }
        becomesReady(thread, .actor)
        // It comes after the one before it in the queue, however long ago that was.
        threads[thread].cause = jobs.lastOfActor.value(of: threads[thread].executor)
        threads[thread].state = .parked
        threads[thread].fiber = fiber
        quiesce_jobs_leave_by_queue()
        awaitTurn(thread)
        beginJob(thread, on: fiber)
    }

    func taskCompleted(_ job: UInt) {
        let thread = jobs.table.value(of: job)
        guard seesAll, thread >= 0, threads[thread].standing != .completed else { return }
        threads[thread].standing = .completed
        jobs.table.set(job, -1)
        jobs.completed.set(job, thread)
        jobs.inbox.remove(job)
        jobs.unfinished -= 1
        if isDeclared { noteCompletion(of: thread) }
        if thread != current { threads[thread].state = .finished }
    }

    /// The running task or thread orders itself with a task: cancels it, resumes it, finds that it
    /// has completed.
    func taskTouched(_ job: UInt) {
        let thread = jobs.table.value(of: job)
        guard seesAll, thread >= 0, thread != current, current >= 0 else { return }
        if recorder != nil, threads[thread].standing != .completed,
            !threads[thread].isCancelled,
            unsafe quiesce_jobs_is_cancelled(UnsafeRawPointer(bitPattern: job)!)
        {
            threads[thread].isCancelled = true
            // Where it is a step the step says so.
            if lastEvent.kind != .cancel || lastEvent.thread != current {
                noteTask("cancels", thread)
            }
        }
        noteEffect()
        if isDeclared { amendShared(threads[thread].taskObject) }
    }

    /// A job is to run when time has passed.
    func timerQueued(_ job: UInt, after delay: Int64) {
        giveForeignTime()
        let sleeper = current
        let thread = makeTask(job, isOneShot: true)
        guard thread >= 0 else { return }
        let index = Int(thread)
        threads[index].isOneShot = true
        threads[index].mayMakeRoom = true
        threads[index].kind = .fire
        threads[index].standing = .ready
        threads[index].place = .pool
        threads[index].state = .parked
        threads[index].isWoken = false
        threads[index].deadline =
            (WorldClock.Instant(nanoseconds: clock.now) + .nanoseconds(max(delay, 0))).nanoseconds
        threads[index].other = sleeper
        guard sleeper >= 0 else { return }
        if attention.names { threads.names[index] = "\(name(ofThread: sleeper))'s timer" }
        threads[index].armed = lastPosition(of: sleeper)
        threads[index].enabler = threads[index].armed
        threads[sleeper].timer = thread
        clock.armed += 1
        amend { event in
            event.arms = threads[index].deadline
            if hasOrderedTime { addClock(to: &event, writes: true) }
        }
    }

    // MARK: Tasks

    /// -1 where there is no room: nothing comes of the job.
    private func makeTask(_ job: UInt, isOneShot: Bool) -> Int32 {
        guard mayStart() else { return -1 }
        jobs.isUsed = true
        if seesAll, !isOneShot { jobs.inbox.add(job) }
        let parent = current >= 0 ? current : threads.started.isEmpty ? -1 : jobs.beforeChores
        // Where steps of tasks come one after the other it is settled which tasks have ended.
        let thread = threads.startTask(
            by: parent, replaces: attention.jobs && options.reduction == .sound)
        // From here on it matters which tasks were awaited.
        if parent >= 0, threads.hasManyChildren(parent) { quiesce_jobs_want_order(true) }
        let index = Int(thread)
        // In another execution it was a thread.
        if let fiber = threads[index].fiber { jobs.adopt(fiber) }
        threads[index].fiber = nil
        threads[index].isTask = true
        threads[index].job = job
        threads[index].standing = .suspended
        threads[index].state = .suspended
        if options.reduction == .declared {
            objects.forget(job)
            threads[index].taskObject = objects.find(job, by: parent, isMade: true).object
        }
        if !attention.jobs, threads.started.count > 1 { wanted.jobs = true }
        forgetClocks(of: thread)
        // A job that runs once frees itself before it does its work: the next may be where it was.
        if !isOneShot {
            jobs.table.set(job, thread)
            if jobs.completed.value(of: job) >= 0 { jobs.completed.set(job, -1) }
            if !seesAll { jobs.identities.set(job, Self.identity(ofTask: job)) }
        }
        jobs.unfinished += 1
        if attention.names { threads.names[index] = taskName(job, thread) }
        return thread
    }

    /// Whether a known task is the one that is at its address now. Unannounced it ends without a
    /// word, and whether another task got its memory differs from execution to execution.
    private func isKnown(_ job: UInt) -> Bool {
        jobs.identities.value(of: job) == Self.identity(ofTask: job)
    }

    private static func identity(ofTask job: UInt) -> Int32 {
        unsafe Int32(
            truncatingIfNeeded: quiesce_jobs_identity(UnsafeMutableRawPointer(bitPattern: job)!))
    }

    /// The running task goes to the queue of an actor. Until then others may come before it.
    private func arrive(_ thread: Int32) {
        guard threads[thread].last >= 0, takeStep(.arrive) else { return }
        if let recorder {
            recorder.describe(old: "", new: nameOfExecutor(threads[thread].executor))
        }
    }

    /// The running thread takes a step that no operation of Substrate is. False when there are no
    /// steps now, or it has left its job.
    ///
    /// - Parameter task: the task that it is done to.
    func takeStep(_ kind: StepKind, on task: Int32 = -1) -> Bool {
        suspendOperation(of: current)
        let thread = current
        guard mode == .exploring || mode == .finishing,
            threads[thread].standing == .running || !threads[thread].isTask
        else { return false }
        threads[thread].kind = kind
        threads[thread].object = -1
        threads[thread].other = task
        park(thread)
        if mode == .draining { return false }
        if repeatsStep(thread, kind) { return true }
        commit(Event(threads[thread].step(of: thread)), site: Site("", 0))
        return true
    }

    /// The running thread has started or resumed a task. Where that may matter it takes a step
    /// before it goes on, so that the task may come first.
    private func noteEnabled(_ thread: Int32) {
        threads[current].hasEnabled = true
        if attention.steps.creations {
            pause(
                "\(threads[thread].hasBegun ? "resumes" : "creates") \(name(ofThread: thread))"
            )
        }
    }

    /// The running thread does something whose place among the steps of others matters: what it
    /// started or resumed on the way here might come before. From the next execution on it may.
    func noteEffect() {
        if current >= 0, threads[current].hasEnabled, !wanted.steps.forbidsCreations {
            wanted.steps.creations = true
        }
    }

    /// The running thread lets others come in between.
    private func pause(_ why: @autoclosure () -> String) {
        guard takeStep(.spawn) else { return }
        recorder?.describe(old: "task", new: why())
    }

    /// `thread` goes into a queue: the thread that puts it there enables it.
    private func noteQueued(_ thread: Int32) {
        if current >= 0, thread != current {
            // With its last act a task resumes what awaits it.
            if threads[current].standing == .completed, threads[current].parent == thread {
                threads[current].mayMakeRoom = true
            }
            threads[thread].enabler = lastPosition(of: current)
            if attention.races { sync.spawn(thread, by: current) }
            // Where it is a step the step says so.
            if !attention.steps.creations {
                noteTask(threads[thread].hasBegun ? "resumes" : "creates", thread)
            }
        }
        stopTimer(of: thread)
    }

    private func becomesReady(_ thread: Int32, _ place: ThreadRecord.Place) {
        let index = Int(thread)
        threads[index].standing = .ready
        threads[index].place = place
        threads[index].kind = .job
        threads[index].object = -1
        if thread != current { threads[index].state = .parked }
    }

    /// Whether the job that runs on this fiber is this one. A task that leaves its executor has let
    /// go of its thread before it is queued.
    func isStillRunning(_ job: UInt) -> Bool {
        unsafe UInt(bitPattern: quiesce_jobs_current()) == job
    }

    private func resumedTwice(_ thread: Int32) {
        guard mode == .exploring else { return }
        if current >= 0 {
            recorder?.note(
                thread: current, .note("✗ resumes \(name(ofThread: thread))"), site: nil)
        }
        let who = current >= 0 ? name(ofThread: current) : "a thread that is not explored"
        fail(
            .resumedTwice,
            "\(who) resumed a continuation of \(name(ofThread: thread)) a second time",
            steps: recorder.map { [$0.count - 1] } ?? [])
    }

    /// Whether the task that is number `index` may begin its next job.
    func mayBegin(_ index: Int) -> Bool {
        guard threads[index].standing == .ready else { return false }
        guard threads[index].place == .main else { return true }
        return jobs.mainHolder < 0 && jobs.firstOfMain < jobs.mainQueue.count
            && Int(jobs.mainQueue[jobs.firstOfMain]) == index
    }

    // MARK: Timers

    /// A task that sleeps was resumed: if its timer did not do that, it is a timer no more.
    func stopTimer(of thread: Int32) {
        let timer = threads[thread].timer
        guard timer >= 0 else { return }
        threads[thread].timer = -1
        // Another thread may have resumed the task just before the timer fired.
        if timer == current || threads[timer].standing != .ready { return }
        let index = Int(timer)
        var fire = Event(threads[index].step(of: timer))
        if hasOrderedTime { fire.footprint.add(ObjectTable.clock, writes: true) }
        fire.previous = threads[index].handsOn
        fire.enabler = threads[index].armed
        fire.opener = threads[index].armed
        addJobs(to: &fire)
        clock.stopped.append(
            StoppedTimer(fire: fire, position: Int32(truncatingIfNeeded: steps - 1)))
        disarm(index)
        threads[index].standing = .completed
        threads[index].state = .finished
        jobs.unfinished -= 1
        if hasOrderedTime { amend { addClock(to: &$0, writes: true) } }
        // What is left for it to do is to let go of the sleep.
        jobs.chores.append(threads[index].job)
    }

    /// Adds to the last step what was found out about it since.
    func amend(_ change: (inout Event) -> Void) {
        guard mode == .exploring, steps > 0 else { return }
        // It belongs to the step that has not ended.
        if isInStep { return change(&openOperations[Int(current)].event) }
        change(&lastEvent)
        lastEvent.traits.insert(.amended)
        strategy.with { $0.amended(lastEvent) }
        recorder?.amend(lastEvent)
    }
}
