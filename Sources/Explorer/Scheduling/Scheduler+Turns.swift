// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// Which thread runs: each step is picked, and the fiber of its thread is switched to.
extension Scheduler {
    /// Runs until the execution is over, taking up again after each trap.
    func runToEnd() {
        while let trap = traps.take() {
            let thread = current
            var starter: Int32 = -1
            if thread >= 0 {
                noteTrap(thread, trap)
                starter = threads[thread].starter
                threads[thread].starter = -1
            } else {
                noteTrapOfChore(trap)
            }
            if starter < 0, jobs.hasChores {
                enterCarrier()
                continue
            }
            let next = starter >= 0 ? starter : pick()
            if next == Self.choresFirst {
                enterCarrier()
                continue
            }
            if next < 0 { break }
            enter(next)
        }
    }

    /// Switches from the explorer's own stack to `thread`.
    func enter(_ thread: Int32) {
        current = thread
        enter(fiber(of: thread))
    }

    func enter(_ fiber: Fiber) {
        traps.runs(fiber)
        host.switchTo(fiber)
        traps.runs(nil)
    }

    /// The fiber to switch to in order to run `thread`.
    @inline(__always)
    private func fiber(of thread: Int32) -> Fiber {
        if threads[thread].isFresh { return carrier() }
        return threads[thread].fiber!
    }

    /// Switches from one thread to another.
    @inline(__always)
    func transfer(from: Int32, to: Int32) {
        current = to
        let fiber = fiber(of: to)
        traps.runs(fiber)
        threads[from].fiber!.switchTo(fiber)
    }

    /// Gives control back to the explorer. Returns only if `thread` is drained.
    func leave(_ thread: Int32) {
        threads[thread].fiber!.switchTo(host)
    }

    /// What `pick` returns where another thread has left chores, which come first.
    static let choresFirst: Int32 = -2

    /// Picks the thread that runs next, flushing store buffers on the way. -1 when the execution is
    /// over.
    @inline(__always)
    func pick() -> Int32 {
        while true {
            let decision: Strategy.Decision
            if isPlain, steps < replayedSteps {
                // A step that is an access of one object has no choice, and is in the schedule.
                if history[steps].detail < 0, !jobs.isUsed || isStillThere(history[steps].thread) {
                    choice = -1
                    return history[steps].thread
                }
                decision = .init(thread: history[steps].thread, choice: history.choice(steps))
            } else {
                if steps >= options.stepLimit { cut() }
                if options.time == .discrete, timePasses() { continue }
                if sharedLocks.keptOut > 0 || !isSearching { lookOutside() }
                decision = mode == .exploring ? strategy.with { $0.choose() } : fairDecision()
                guard decision.thread >= 0 else {
                    if decision.thread == -1, awaitOutside() { continue }
                    if decision.thread == -1, jobs.isUsed, awaitForeign() {
                        if jobs.hasChores { return Self.choresFirst }
                        continue
                    }
                    conclude(decision)
                    return -1
                }
            }
            if jobs.isUsed, !isStillThere(decision.thread) {
                noteMissing(decision.thread)
                continue
            }
            choice = decision.choice
            // What is repeated is in the schedule already.
            if steps >= schedule.count || options.time == .discrete {
                schedule.append(
                    decision.choice < 0 && !threads[decision.thread].isBuffer
                        ? UInt32(threads[decision.thread].spawnIndex) : encode(decision))
            }
            guard threads[decision.thread].isBuffer else { return decision.thread }
            flush(decision.thread)
        }
    }

    /// `thread` has said what it will do next: waits until it is picked.
    @inline(__always)
    func park(_ thread: Int32) {
        heartbeat.tick()
        if recorder != nil { nameObject(of: thread) }
        let starter = threads[thread].starter
        if starter >= 0 {
            // The first step is known: the thread that spawned this one goes on.
            threads[thread].starter = -1
            transfer(from: thread, to: starter)
            return
        }
        waitForTurn(thread)
    }

    /// Somebody is picked and runs; returns when that is `thread`, at once or later.
    @inline(__always)
    func waitForTurn(_ thread: Int32) {
        if jobs.isUsed {
            // What the thread did since its last step may have been for others to see.
            if !threads[thread].kind.isOfReferences { noteSharing() }
            admitArrivals()
            if jobs.hasChores { return waitForChores(thread) }
        }
        let next = pick()
        if next == thread { return }
        if next == Self.choresFirst { return waitForChores(thread) }
        if next < 0 { leave(thread) } else { transfer(from: thread, to: next) }
    }

    /// Whether a job that a schedule wants can begin: a thread that is not explored may have made
    /// the task ready, and may do so later this time.
    @inline(__always)
    private func isStillThere(_ thread: Int32) -> Bool {
        threads[thread].kind != .job
            || threads[thread].standing == .ready && threads[thread].place != .main
            || isEnabled(thread)
    }

    /// A schedule that is repeated has a step of a task that cannot take it: the thread that made
    /// the task ready is not explored.
    @inline(never)
    private func noteMissing(_ thread: Int32) {
        diverge(
            Divergence(
                step: steps + 1, expected: "a step of \(name(ofThread: thread))",
                found: "that it cannot go on yet"))
    }

    /// Where time is discrete and nobody can run, time passes up to the next deadline. False where
    /// there is none.
    private func timePasses() -> Bool {
        guard clock.armed > 0, mode != .draining else { return false }
        var next = UInt64.max
        for thread in 0..<threads.count {
            if isEnabled(thread) { return false }
            if threads[thread].armed >= 0, threads[thread].state == .parked {
                next = min(next, threads[thread].deadline)
            }
        }
        guard next < .max, next > clock.now else { return false }
        clock.pass(to: next)
        if clock.thread < 0 { clock.thread = threads.add(parent: -1) }
        var step = Step(thread: clock.thread, kind: .tick)
        step.deadline = next
        clock.lastTick = commit(Event(step), site: Site("", 0))
        return true
    }

    private func encode(_ decision: Strategy.Decision) -> UInt32 {
        let record = threads[decision.thread]
        let index = record.isBuffer ? threads[record.bufferLink].spawnIndex : record.spawnIndex
        let chosen = decision.choice < 0 ? 0 : threads[decision.choice].spawnIndex + 1
        return ScheduleStep(thread: Int(index), isFlush: record.isBuffer, choice: Int(chosen) - 1)
            .encoded
    }

    private func conclude(_ decision: Strategy.Decision) {
        // An execution that was cut stays so, however it runs on.
        guard mode == .exploring else { return }
        if decision.thread == -2 {
            outcome = .blocked
            return
        }
        outcome = .complete
        for thread in 0..<Int(threads.count) {
            if threads[thread].state == .parked && !threads[thread].mayWaitForEver
                && !threads[thread].isBuffer
                || threads[thread].state == .suspended
            {
                outcome = .deadlocked
            }
        }
        noteBlocked()
    }

    private func cut() {
        if mode == .exploring {
            outcome = .cut
            mode = .finishing
        } else if mode == .finishing, steps >= options.stepLimit * 2 + 10_000 {
            mode = .draining
        }
    }

    /// Stops exploring this execution: the program is not the one that was recorded.
    func diverge(_ divergence: Divergence) {
        self.divergence = divergence
        outcome = .cut
        mode = .finishing
    }

    /// While an execution that was cut runs on: everybody in turn, so that loops which wait for
    /// others end.
    private func fairDecision() -> Strategy.Decision {
        guard mode == .finishing else { return .nobody }
        var thread = current
        for _ in 0..<threads.count {
            thread = thread + 1 < threads.count ? thread + 1 : 0
            if isEnabled(thread) { return .init(thread: thread, choice: firstChoice(of: thread)) }
        }
        return .nobody
    }
}
