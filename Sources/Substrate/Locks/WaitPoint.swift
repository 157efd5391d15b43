// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// A word to wait on: a thread sleeps while the word has a value, another changes it and wakes.
///
/// The check of the word and the falling asleep are one step: a wake that follows the change is never missed. A wait may
/// end for no reason; while explored it ends only by a wake or its deadline, and which sleeper wakes is a choice of the
/// schedule. Kernel counterpart: `futex(2)`.
public struct WaitPoint: ~Copyable, Sendable {
    /// The word. Whoever changes it so that a wait should end calls `wake` afterwards.
    public let word: Atomic<UInt32>

    public init(_ initialValue: UInt32 = 0) {
        word = Atomic(initialValue)
    }

    /// Names this point in traces, and says that its life begins here: call it in the initializer of its owner, once, where
    /// the point will stay. Without it, a point at the address of one that died in the same execution is taken for that one.
    /// Does nothing when nobody watches.
    public func label(_ name: @autoclosure () -> String) {
        word.label(name())
    }

    /// Sleeps while the word is `value`.
    ///
    /// - Returns: false when `deadline` passed first.
    @available(*, noasync, message: "it would block a thread of the cooperative pool")
    @discardableResult
    public func wait(
        while value: UInt32, until deadline: Clock.Instant? = nil,
        file: StaticString = #filePath, line: UInt = #line
    ) -> Bool {
        if let observer = Watch.observer {
            var operation = Operation(.parkWhile, word.address, .acquiring, site: Site(file, line))
            operation.operand = Bits(low: UInt64(value))
            operation.deadline = deadline?.nanoseconds ?? 0
            return observer.perform(operation)
        }
        let end = deadline.map { max($0.nanoseconds, 1) } ?? 0
        return unsafe withUnsafePointer(to: word) { unsafe quiesce_futex_wait($0, value, end) } == 0
    }

    /// Wakes at most `count` sleepers.
    public func wake(_ count: Int = .max, file: StaticString = #filePath, line: UInt = #line) {
        if let observer = Watch.observer {
            var operation = Operation(.wake, word.address, .relaxed, site: Site(file, line))
            operation.operand = Bits(low: UInt64(max(count, 0)))
            _ = observer.perform(operation)
            return
        }
        // The kernel takes a count of 0 for 1.
        guard count > 0 else { return }
        unsafe withUnsafePointer(to: word) { _ = unsafe quiesce_futex_wake($0, Int32(clamping: count)) }
    }
}
