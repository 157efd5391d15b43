// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// How threads and executions end that do not end by themselves.
extension Scheduler {
    func noteTrap(_ thread: Int32, _ trap: quiesce_trap) {
        heartbeat.tick()
        suspendOperation(of: thread)
        threads[thread].state = .dead
        leaveWords(of: thread)
        let report = TrapReport(trap, fiber: threads[thread].fiber ?? jobs.running!)
        if attention.steps.creations, mode == .exploring, report.isStuck || report.isSecondLock {
            // If it was not the extra steps that did it, it will be seen without them.
            wanted.steps.creations = false
            wanted.steps.forbidsCreations = true
            return
        }
        if mode == .exploring || mode == .afterwards {
            recorder?.note(
                thread: thread, .note("✗ \(report.isStuck ? "stuck" : "trap")"), site: nil)
            fail(
                report.isStuck ? .blockedOutside : report.isSecondResume ? .resumedTwice : .trap,
                report.sentence(thread: name(ofThread: thread))
                    + (recorder?.lastPlace(of: thread) ?? ""),
                steps: recorder.map { [$0.count - 1] } ?? [])
            if report.isStuck { mustStop = true }
        }
    }

    /// The runtime trapped while it scheduled jobs, on behalf of no task in particular.
    func noteTrapOfChore(_ trap: quiesce_trap) {
        heartbeat.tick()
        let report = TrapReport(trap, fiber: jobs.running!)
        fail(
            report.isStuck ? .blockedOutside : .trap,
            report.sentence(thread: "the Swift runtime, which scheduled jobs,"))
        if report.isStuck { mustStop = true }
    }

    /// A thread that nobody explores trapped, and stands still for ever.
    func noteTrapElsewhere(_ trap: quiesce_trap) {
        heartbeat.tick()
        abandoned += 1
        let report = TrapReport(trap, fiber: nil)
        fail(
            report.isSecondResume ? .resumedTwice : .trap,
            report.sentence(thread: "a thread that is not explored"))
    }

    /// The program needs more than the explorer has. That is no fault of the program's; but what it
    /// does from here on is not known, so the execution ends here.
    func reachLimit(_ sentence: String) {
        fail(.explorerLimit, sentence)
        guard mode == .exploring || mode == .finishing else { return }
        outcome = .cut
        mode = .draining
    }

    /// Whether another thread or task can start. One more than the limit ends the execution, in
    /// which what is left to do may still start some.
    @inline(__always)
    func mayStart() -> Bool {
        guard !threads.isFull || mayStartBeyondLimit() else { return false }
        if stacks.hasReserve { return true }
        lackMemory()
        return false
    }

    @inline(never)
    private func mayStartBeyondLimit() -> Bool {
        guard mode == .exploring || mode == .finishing else { return threads.hasReserve }
        reachLimit(
            "the program has more than \(options.threadLimit) threads and tasks, which is as many as the exploration's threadLimit allows"
        )
        return threads.hasReserve
    }

    /// Whether a thread can start that ends an execution.
    var mayStartAside: Bool { threads.hasReserve && stacks.hasSpare }

    /// The system has refused memory for a stack.
    @inline(never)
    func lackMemory() {
        hasLackedMemory = true
        reachLimit(
            "the system refuses memory for one more stack; the program has had \(threads.started.count) threads and tasks"
        )
    }

    func runAfterwards() {
        guard unsafe !afterwards.isEmpty else { return }
        mode = .afterwards
        runAside(name: "afterwards") {}
    }

    /// Lets every thread that has not ended run to its end, every wait granted, so that its stack
    /// unwinds.
    ///
    /// In turns of a few operations, since what one thread waits for another may still do.
    func drain() {
        mode = .draining
        letAllIn()
        if jobs.isUsed { cancelTasks() }
        drainThreads()
    }

    /// Drains all threads, or one, and abandons those that do not come to their end.
    func drainThreads(only one: Int32? = nil) {
        // A thread that is drained may start others.
        var rows: Range<Int32> { one.map { $0..<$0 + 1 } ?? 0..<threads.count }
        var isLeft = rows.contains(where: isDrainable)
        var rounds = options.drainLimit / Scheduler.drainTurn + 1
        while isLeft, rounds > 0 {
            sharedLocks.keptOut = 0
            for thread in rows where isDrainable(thread) && hasStack(thread) {
                drainSteps = 0
                enter(thread)
                if traps.take() != nil {
                    threads[thread].state = .dead
                    leaveWords(of: thread)
                }
            }
            isLeft = rows.contains(where: isDrainable)
            // A round in which somebody waits for a lock in real time does not count.
            if sharedLocks.keptOut == 0 { rounds -= 1 }
        }
        guard isLeft else { return }
        for thread in rows where isDrainable(thread) {
            threads[thread].state = .dead
            abandoned += 1
        }
    }

    /// Whether a thread can be drained now: where the system refuses memory, a task begins its job
    /// when another has left its stack.
    private func hasStack(_ thread: Int32) -> Bool {
        !threads[thread].isFresh || !stacks.isShort || jobs.hasFreeCarrier
    }

    /// Runs `body` on a fiber of its own when nobody else can run.
    func runAside(name: String, _ body: @escaping @Sendable () -> Void) {
        guard mayStartAside else { return }
        let thread = startThread(name: name, isService: true, parent: 0, body)
        enter(thread)
        if let trap = traps.take() { noteTrap(thread, trap) }
        threads[thread].state = .finished
    }

    private static let drainTurn = 20

    private func isDrainable(_ thread: Int32) -> Bool {
        threads[thread].state == .parked && !threads[thread].isBuffer
    }

    /// One operation of a thread that is being drained.
    func drainStep(_ thread: Int32) {
        heartbeat.tick()
        drainSteps += 1
        if drainSteps > Scheduler.drainTurn { leave(thread) }
    }
}
