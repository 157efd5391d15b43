// SPDX-License-Identifier: Apache-2.0

import Substrate

/// How an exploration picks the next step. One of these drives a scheduler through executions.
class Strategy {
    /// The scheduler that asks. The two hold each other until the exploration is over.
    let scheduler: Scheduler

    init(_ scheduler: Scheduler) {
        self.scheduler = scheduler
    }

    /// The thread that runs next.
    struct Decision: Codable {
        var thread: Int32
        /// The waiter that a signal wakes, -1 where there is no choice.
        var choice: Int32 = -1

        /// Nobody can run.
        static var nobody: Decision { Decision(thread: -1) }
        /// Some can, and all that can have been explored from here.
        static var allAsleep: Decision { Decision(thread: -2) }
    }

    /// Whether the scheduler keeps a history for it.
    var keepsHistory: Bool { false }
    /// Whether its executions follow others, so that what happens must be the schedule's doing.
    var isSearch: Bool { true }
    /// A new execution begins.
    func beginExecution() {}
    /// Picks the next step.
    func choose() -> Decision { .nobody }
    /// The step that was picked happened, as the event at `position`. Returns how it differs from
    /// the one that was recorded, if it does.
    func committed(_ event: Event, at position: Int) -> Divergence? { nil }
    /// The last step has done more than was known when it was committed.
    func amended(_ event: Event) {}
    /// The execution ended. Returns whether there is another.
    func endExecution(_ outcome: Outcome) -> Bool { false }
    /// The next execution is to be the last one again.
    func repeatLast() {}

    /// The default policy: the running thread goes on; else the first that can.
    final func defaultDecision() -> Decision {
        let current = scheduler.current
        if current >= 0, scheduler.isEnabled(current) {
            return Decision(thread: current, choice: scheduler.firstChoice(of: current))
        }
        for thread in 0..<scheduler.threads.count where scheduler.isEnabled(thread) {
            return Decision(thread: thread, choice: scheduler.firstChoice(of: thread))
        }
        return .nobody
    }
}

/// How an execution ended.
enum Outcome {
    /// Every thread that is not a service has ended.
    case complete
    /// A thread has not ended and nobody can run.
    case deadlocked
    /// Every thread that can run sleeps: the execution repeats one that was explored.
    case blocked
    /// The step limit was reached.
    case cut
}

/// The program under test behaved differently from what was recorded.
struct Divergence: Error {
    var step: Int
    var expected: String
    var found: String
}
