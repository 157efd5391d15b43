// SPDX-License-Identifier: Apache-2.0

/// One execution that follows a schedule, then the default policy. Counts its preemptions.
final class Replay: Strategy {
    private let steps: [ScheduleStep]
    private var position = 0
    private(set) var preemptions = 0
    private(set) var divergence: Divergence?

    init(_ scheduler: Scheduler, steps: [ScheduleStep]) {
        self.steps = steps
        super.init(scheduler)
    }

    override func beginExecution() {
        position = 0
        preemptions = 0
        divergence = nil
    }

    override func choose() -> Decision {
        let decision =
            position < steps.count && divergence == nil
            ? follow(steps[position]) : defaultDecision()
        position += 1
        let current = scheduler.current
        if decision.thread >= 0, decision.thread != current, current >= 0,
            scheduler.isEnabled(current),
            !scheduler.threads[decision.thread].isBuffer
        {
            preemptions += 1
            let record = scheduler.threads[current]
            scheduler.recorder?.note(
                thread: current, .preempted(atAwait: record.isTask && record.kind == .job),
                site: nil)
        }
        return decision
    }

    private func follow(_ step: ScheduleStep) -> Decision {
        guard step.thread < scheduler.threads.started.count else {
            return differ(
                "a step of thread \(step.thread)", "\(scheduler.threads.started.count) threads")
        }
        var thread = scheduler.threads.started[step.thread]
        if step.isFlush { thread = scheduler.threads.buffer(of: thread) }
        guard scheduler.isEnabled(thread) else {
            let state = scheduler.threads[thread].state
            return differ(
                "a step of \(scheduler.name(ofThread: thread))",
                state == .finished || state == .dead
                    ? "that it has ended" : "that it \(scheduler.waiting(thread))")
        }
        var choice: Int32 = -1
        let waiters = scheduler.choices(of: thread)
        if step.choice >= 0 {
            guard step.choice < scheduler.threads.started.count else {
                return differ("a choice of thread \(step.choice)", "none")
            }
            choice = scheduler.threads.started[step.choice]
            guard waiters & (1 << UInt64(choice)) != 0 else {
                return differ(
                    "that \(scheduler.name(ofThread: choice)) waits to be woken", "that it does not"
                )
            }
        } else if waiters != 0 {
            return differ("no choice of a waiter", "one")
        }
        return Decision(thread: thread, choice: choice)
    }

    private func differ(_ expected: String, _ found: String) -> Decision {
        divergence = Divergence(step: position + 1, expected: expected, found: found)
        return defaultDecision()
    }
}
