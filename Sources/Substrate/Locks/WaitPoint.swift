// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

/// A word to wait on: a thread sleeps while the word has a value, another changes it and wakes.
///
/// The check of the word and the falling asleep are one step: a wake that follows the change is
/// never missed. A wait may end for no reason; while explored it ends only by a wake or its
/// deadline, and which sleeper wakes is a choice of the schedule. Kernel counterpart: `futex(2)`.
public struct WaitPoint: ~Copyable, Sendable {
    /// The word. A thread that changes it so that a wait should end calls `wake` afterwards.
    public let word: Atomic<UInt32>
    // Beside the word: see `SharedWaiters`.
    private let sleepers = Sleepers()

    public init(_ initialValue: UInt32 = 0) {
        word = Atomic(initialValue)
    }

    /// Names this point in traces and begins its life.
    ///
    /// Call it once, in the initializer of its owner: see <doc:MemoryAndObservation#Labels>.
    public func label(_ name: @autoclosure () -> String) {
        word.label(name())
    }

    /// Sleeps while the word is `value`.
    ///
    /// - Returns: false when `deadline` passed first.
    @available(*, noasync, message: "it would block a thread of the cooperative pool")
    @discardableResult
    public func wait(
        while value: UInt32, until deadline: WorldClock.Instant? = nil,
        file: StaticString = #filePath, line: UInt = #line
    ) -> Bool {
        BlockingObserver.told {
            sleep(while: value, until: deadline, isIdle: false, Site(file, line))
        }
    }

    private func sleep(
        while value: UInt32, until deadline: WorldClock.Instant?, isIdle: Bool, _ site: Site
    ) -> Bool {
        if let observer = Watch.observer {
            var operation = Operation(.parkWhile, word.address, .acquiring, site: site)
            operation.operand = Bits(low: UInt64(value))
            operation.deadline = deadline?.nanoseconds ?? 0
            operation.isIdle = isIdle
            return observer.perform(operation)
        }
        let end = deadline.map { max($0.nanoseconds, 1) } ?? 0
        // Before the system looks at the word; a waker changes the word before it looks for
        // sleepers.
        sleepers.word.wrappingAdd(1, ordering: .sequentiallyConsistent)
        defer { sleepers.word.wrappingSubtract(1, ordering: .relaxed) }
        return unsafe withUnsafePointer(to: word) { unsafe quiesce_futex_wait($0, value, end) } == 0
    }

    /// How a wait for somebody to serve ended.
    public enum Call {
        /// By a wake-up, or for no reason.
        case woken
        /// The deadline passed.
        case timedOut
        /// The thread's world has ended: an execution of an exploration is over. The thread should
        /// end too.
        case over
    }

    /// Sleeps while the word is `value`, as a thread that has nobody to serve: that this lasts for
    /// ever is neither a deadlock nor a leak.
    ///
    /// - Parameter patience: how long to look at the word before sleeping, which learns from how
    ///   long it took.
    @available(*, noasync, message: "it would block a thread of the cooperative pool")
    public func idle(
        while value: UInt32, until deadline: WorldClock.Instant? = nil, patience: inout Patience,
        file: StaticString = #filePath, line: UInt = #line
    ) -> Call {
        if let observer = Watch.observer {
            let isInTime = sleep(while: value, until: deadline, isIdle: true, Site(file, line))
            return observer.with({ $0.isOver }) ? .over : isInTime ? .woken : .timedOut
        }
        let start = quiesce_monotonic_nanoseconds()
        defer { patience.learn(quiesce_monotonic_nanoseconds() - start) }
        if linger(while: value, rounds: patience.rounds) { return .woken }
        return sleep(while: value, until: deadline, isIdle: true, Site(file, line))
            ? .woken : .timedOut
    }

    /// Looks at the word up to `rounds` times, and says whether it came to differ from `value`.
    /// Acquires.
    ///
    /// For a moment before a `wait`, where what ends it is likely to come sooner than the system
    /// puts a thread to sleep and wakes it. It is advice: while explored, and where one thread runs
    /// at a time, no look is made.
    public func linger(while value: UInt32, rounds: Int) -> Bool {
        guard Watch.observer == nil, World.process.processorCount > 1 else { return false }
        for _ in 0..<rounds {
            if word.raw.load(ordering: .acquiring) != value { return true }
            quiesce_pause()
        }
        return false
    }

    /// How long it pays to look before one sleeps: as long as sleeping and being woken takes, if
    /// waits turn out to be that short.
    public struct Patience: Sendable {
        var rounds = Patience.most

        private static let most = 2000
        /// Nanoseconds in which a wait should have ended to have been worth looking. About what a
        /// wake-up of another processor takes.
        private static let worthwhile: UInt64 = 100_000

        public init() {}

        /// Not to look at all.
        public static let none: Patience = {
            var none = Patience()
            none.rounds = 0
            return none
        }()

        mutating func learn(_ nanoseconds: UInt64) {
            guard rounds > 0 else { return }
            rounds =
                nanoseconds < Self.worthwhile ? min(rounds * 4, Self.most) : max(rounds / 2, 16)
        }
    }

    /// Wakes at most `count` sleepers.
    ///
    /// The caller keeps the point: a waiter that sees the word changed must not free it before this
    /// returns.
    public func wake(_ count: Int = .max, file: StaticString = #filePath, line: UInt = #line) {
        if let observer = Watch.observer {
            var operation = Operation(.wake, word.address, .relaxed, site: Site(file, line))
            operation.operand = Bits(low: UInt64(max(count, 0)))
            _ = observer.perform(operation)
            return
        }
        // The kernel takes a count of 0 for 1.
        guard count > 0 else { return }
        Synchronization.atomicMemoryFence(ordering: .sequentiallyConsistent)
        guard sleepers.areToBeWoken() else { return }
        unsafe withUnsafePointer(to: word) {
            _ = unsafe quiesce_futex_wake($0, Int32(clamping: count))
        }
    }
}
