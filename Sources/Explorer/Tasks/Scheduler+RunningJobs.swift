// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// The fibers that carry jobs, and how tasks end.
extension Scheduler {
    /// A fiber that will run what is next: `current`, or chores.
    func carrier() -> Fiber {
        let fiber = jobs.takeCarrier(stacks)
        if stacks.isShort { lackMemory() }
        fiber.prepare(self, world: world!, id: 0)
        jobs.running = fiber
        return fiber
    }

    /// Runs the chores on a fiber, which goes on from there.
    func enterCarrier() {
        jobs.beforeChores = current
        current = -1
        enter(carrier())
    }

    /// `thread` has said what it will do; before anybody is picked there are chores.
    func waitForChores(_ thread: Int32) {
        jobs.beforeChores = current
        current = -1
        let fiber = carrier()
        traps.runs(fiber)
        threads[thread].fiber!.switchTo(fiber)
    }

    /// `thread` waits until it is picked.
    func awaitTurn(_ thread: Int32) {
        if mode == .draining { return leave(thread) }
        waitForTurn(thread)
        current = thread
    }

    /// The life of a fiber that carries jobs.
    func carryJobs() -> Never {
        let fiber = jobs.running!
        var next = current
        while true {
            if next < 0 {
                runChores(on: fiber)
                next = mode == .draining ? -1 : pick()
                if next == Self.choresFirst {
                    next = -1
                    continue
                }
                if next < 0 || !threads[next].isFresh {
                    jobs.giveBack(fiber)
                    if next >= 0 { current = next }
                    let target = next < 0 ? host : threads[next].fiber!
                    traps.runs(next < 0 ? nil : target)
                    fiber.switchTo(target)
                    fatalError("a fiber that was left for good was resumed")
                }
                current = next
            }
            runJob(next, on: fiber)
            next = -1
        }
    }

    private func runJob(_ thread: Int32, on fiber: Fiber) {
        beginJob(thread, on: fiber)
        let job = threads[thread].job
        if threads[thread].place == .main {
            JobCapture.runOnMain(job)
        } else {
            JobCapture.runOnPool(job)
        }
        endJob(current)
    }

    /// Jobs of the runtime's own, each up to where a task begins.
    private func runChores(on fiber: Fiber) {
        guard jobs.hasChores else { return }
        if current >= 0 { jobs.beforeChores = current }
        while let job = jobs.popChore() {
            current = -1
            jobs.running = fiber
            JobCapture.runOnPool(job)
            if current >= 0 {
                // It served an actor; the last task of the queue has stopped.
                endJob(current)
                jobs.beforeChores = current
            }
        }
        current = jobs.beforeChores
    }

    /// `thread` was picked: its job begins, as a step.
    func beginJob(_ thread: Int32, on fiber: Fiber) {
        let index = Int(thread)
        heartbeat.tick()
        threads[index].fiber = fiber
        let block = unsafe quiesce_current_block()
        unsafe block.pointee.id = UInt32(thread) + 1
        unsafe block.pointee.row = nil
        unsafe block.pointee.slots = nil
        threads[index].standing = .running
        threads[index].hasBegun = true
        threads[index].home = threads[index].executor
        if threads[index].place == .main, threads[index].kind == .job {
            jobs.mainHolder = thread
            jobs.firstOfMain += 1
            threads[index].cause = jobs.mainLast
        }
        acquireExecutor(thread)
        guard mode == .exploring || mode == .finishing else {
            disarm(index)
            return
        }
        if threads[index].kind == .job, repeatsStep(thread, .job) {
            threads[index].hasStepped = false
            return
        }
        var event = Event(threads[index].step(of: thread))
        if event.kind == .fire {
            if hasOrderedTime { event.footprint.add(ObjectTable.clock, writes: true) }
            event.opener = threads[index].armed
            clock.pass(to: threads[index].deadline)
            disarm(index)
        }
        if let recorder { recorder.frames = framesOfTask(thread) }
        commit(event, site: Site("", 0))
        threads[index].hasStepped = false
    }

    /// Whether the step, which no operation of Substrate is, repeats the last execution's.
    func repeatsStep(_ thread: Int32, _ kind: StepKind) -> Bool {
        guard steps < replayedSteps, isPlain, history[steps].thread == thread,
            history[steps].kind == kind
        else { return false }
        noteRepeated(thread)
        return true
    }

    /// The job of `thread` is over.
    func endJob(_ thread: Int32) {
        let index = Int(thread)
        releaseLocals()
        noteSharing()
        releaseExecutor(thread)
        threads[index].fiber = nil
        if threads[index].home != 0 {
            jobs.lastOfActor.set(threads[index].home, threads[index].last)
        }
        if jobs.mainHolder == thread {
            jobs.mainHolder = -1
            jobs.mainLast = threads[index].last
        }
        switch threads[index].standing {
        case .running where !seesAll && !threads[index].isOneShot:
            threads[index].standing = .suspended
            threads[index].state =
                threads[index].spawnIndex == 0 && !jobs.mainHasEnded ? .suspended : .finished
        case .running:
            threads[index].standing = threads[index].isOneShot ? .completed : .suspended
            threads[index].state = threads[index].isOneShot ? .finished : .suspended
            if threads[index].isOneShot { jobs.unfinished -= 1 }
        case .ready: threads[index].state = .parked
        case .inActorQueue, .suspended: threads[index].state = .suspended
        case .completed: threads[index].state = .finished
        }
    }

    // MARK: The end

    /// The main task has come to its end. Unannounced it may have done so in a job that serves an
    /// actor.
    func noteMainEnds() {
        jobs.mainHasEnded = true
        if !seesAll, threads.started[0] != current { threads[threads.started[0]].state = .finished }
    }

    /// Tasks that are neither finished nor able to go on.
    var stuckTasks: [Int32] {
        tasks.filter { threads[$0].state == .suspended }
    }

    private var tasks: [Int32] {
        (0..<threads.started.count).map { threads.started[$0] }.filter { threads[$0].isTask }
    }

    /// Cancels the tasks that are left, so that they come to an end.
    func cancelTasks() {
        guard jobs.unfinished > 0 else { return }
        let left = tasks.filter {
            threads[$0].standing != .completed && threads[$0].state != .dead
                && !threads[$0].isOneShot && (seesAll || threads[$0].state == .suspended)
        }
        guard !left.isEmpty else { return }
        // A task that another thread runs may complete meanwhile.
        let addresses = left.map { threads[$0].job }.filter { job in
            unsafe !seesAll || quiesce_inbox_retain(UnsafeMutableRawPointer(bitPattern: job)!)
        }
        runAside(name: "the end") {
            for job in addresses {
                unsafe quiesce_jobs_cancel(UnsafeMutableRawPointer(bitPattern: job)!)
            }
        }
        guard seesAll else { return }
        for job in addresses {
            unsafe quiesce_inbox_release(UnsafeMutableRawPointer(bitPattern: job)!)
        }
    }
}
