// SPDX-License-Identifier: Apache-2.0

/// One decision of a schedule, in terms that hold in every process: threads are told by the order
/// of their spawning.
struct ScheduleStep: Equatable {
    var thread: Int
    /// Whether the step flushes the thread's store buffer.
    var isFlush = false
    /// The waiter that a signal wakes, -1 where there is no choice.
    var choice = -1

    /// Fifteen bits of thread, one of flush, the rest a choice.
    var encoded: UInt32 {
        UInt32(thread) & 0x7fff | (isFlush ? 0x8000 : 0) | UInt32(choice + 1) << 16
    }

    init(thread: Int, isFlush: Bool = false, choice: Int = -1) {
        self.thread = thread
        self.isFlush = isFlush
        self.choice = choice
    }

    init(encoded: UInt32) {
        thread = Int(encoded & 0x7fff)
        isFlush = encoded & 0x8000 != 0
        choice = Int(encoded >> 16) - 1
    }
}
