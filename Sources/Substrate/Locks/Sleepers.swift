// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

/// How many threads sleep on a word, so that a waker that finds none asks nothing of the system.
///
/// Threads of an exploration wait without sleeping on the word, and leave a mark instead. A waker
/// that finds the mark counts its wake-up beside it, where the exploration looks.
struct Sleepers: ~Copyable {
    /// Bits 0 to 19 count the sleepers; bit 20 is the mark; the rest count wake-ups.
    let word = Synchronization.Atomic<UInt32>(0)

    static let count: UInt32 = 1 << 20 - 1
    static let mark: UInt32 = 1 << 20
    static let oneWake: UInt32 = 1 << 21

    /// Whether a waker has somebody to wake. Tells explorations of it.
    @inline(__always)
    borrowing func areToBeWoken() -> Bool {
        let found = word.load(ordering: .relaxed)
        guard found > 0 else { return false }
        if found & Self.mark != 0 { word.wrappingAdd(Self.oneWake, ordering: .releasing) }
        return found & Self.count != 0
    }
}

/// The threads that wait on a condition or a wait point and that an exploration does not run, by
/// the address of the word that they sleep on.
package struct SharedWaiters {
    private let address: UInt

    package init(at address: UInt) { self.address = address }

    /// The smallest difference between two numbers of wake-ups.
    package static var oneWake: UInt32 { Sleepers.oneWake }

    /// How often threads outside have woken, as a number to compare with an earlier one.
    package var wakes: UInt32 {
        unsafe sleepers.pointee.word.load(ordering: .acquiring) & ~(Sleepers.oneWake - 1)
    }

    /// Whether an exploration has left its mark; false where there is no memory any more.
    package var isMarked: Bool {
        unsafe quiesce_is_readable(sleepers)
            && sleepers.pointee.word.load(ordering: .relaxed) & Sleepers.mark != 0
    }

    /// Leaves the mark of an exploration, and says whether there was one: what it was left on is
    /// older than the exploration's execution.
    package func mark() -> Bool {
        let found = unsafe sleepers.pointee.word.bitwiseOr(
            Sleepers.mark, ordering: .sequentiallyConsistent
        ).oldValue
        return found & Sleepers.mark != 0
    }

    /// A thread of an exploration wakes at most `count`. Those that sleep are woken; where it
    /// `tells`, other explorations hear of it.
    ///
    /// - Returns: whether somebody slept, and whether a wake-up was counted.
    package func wake(_ count: Int, isCondition: Bool, tells: Bool) -> (slept: Bool, told: Bool) {
        // A sleeper counts itself before the system looks at the word, which has been changed.
        Synchronization.atomicMemoryFence(ordering: .sequentiallyConsistent)
        let found = unsafe sleepers.pointee.word.load(ordering: .relaxed)
        let told = tells && found & Sleepers.mark != 0
        if told {
            unsafe sleepers.pointee.word.wrappingAdd(Sleepers.oneWake, ordering: .releasing)
        }
        guard found & Sleepers.count != 0 else { return (false, told) }
        if isCondition { unsafe word.pointee.wrappingAdd(1, ordering: .relaxed) }
        unsafe quiesce_futex_wake(word, Int32(clamping: count))
        return (true, told)
    }

    private var word: UnsafePointer<Synchronization.Atomic<UInt32>> {
        unsafe UnsafePointer(bitPattern: address)!
    }

    // Beside the word, in a condition and in a wait point.
    private var sleepers: UnsafePointer<Sleepers> {
        unsafe UnsafePointer(bitPattern: address + 4)!
    }
}
