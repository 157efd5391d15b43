// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The waiters of a condition or of a wait point, as a state machine: sets of
/// threads, one bit each.
struct WaiterState: BitwiseCopyable, Hashable {
    /// The threads that nobody has woken yet.
    var waiting: UInt64 = 0
    /// Those of them whose wait has a deadline.
    var timed: UInt64 = 0

    /// Threads from this number on have no bit.
    static let limit: Int32 = 64

    func contains(_ thread: Int32) -> Bool { waiting & bit(thread) != 0 }

    mutating func add(_ thread: Int32, isTimed: Bool) {
        waiting |= bit(thread)
        if isTimed { timed |= bit(thread) }
    }

    mutating func remove(_ set: UInt64) {
        waiting &= ~set
        timed &= ~set
    }

    /// The threads among which a step of this kind chooses one to wake; 0 where there is no choice.
    @inline(__always)
    func choices(_ kind: StepKind) -> UInt64 {
        kind != .broadcast && waiting & (waiting &- 1) != 0 ? waiting : 0
    }

    /// The threads that a step of this kind wakes.
    func woken(_ kind: StepKind, choosing choice: Int32) -> UInt64 {
        kind == .broadcast || choice < 0 ? waiting : bit(choice)
    }

    func bit(_ thread: Int32) -> UInt64 { 1 << UInt64(thread) }
}

extension WaiterState {
    @inline(__always)
    init(bits: Bits) { self.init(waiting: bits.low, timed: bits.high) }

    @inline(__always)
    var bits: Bits { Bits(low: waiting, high: timed) }
}
