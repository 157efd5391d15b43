// SPDX-License-Identifier: Apache-2.0

/// The time of an execution, and its timers.
final class Timekeeper {
    /// When an execution begins.
    static let beginning: UInt64 = 1_000_000_000

    var now = Timekeeper.beginning
    /// How many timers are armed.
    var armed = 0
    /// Where time is discrete: what stands for its passing, and when it passed last.
    var thread: Int32 = -1
    var lastTick: Int32 = -1
    /// Timers that were stopped before they fired.
    let stopped = Stack<StoppedTimer>(capacity: 8)

    func beginExecution() {
        now = Timekeeper.beginning
        armed = 0
        lastTick = -1
        stopped.removeAll()
    }

    func pass(to time: UInt64) { now = max(now, time) }
}

/// A timer that was stopped: the step that it would have taken, and the step that kept it from it.
struct StoppedTimer: BitwiseCopyable {
    var fire: Event
    var position: Int32
}
