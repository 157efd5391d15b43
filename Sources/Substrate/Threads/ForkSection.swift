// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

/// A change that a fork does not split: a child finds it made, or not begun.
///
/// A fork copies the memory of the process while its other threads run, and the child has none of
/// them to end what they have begun. So a fork waits until no other thread is inside a section, and
/// a thread that wants to begin one meanwhile waits until the fork is over. The child finds every
/// change that was made in a section whole, and every lock that is taken in sections alone free.
///
/// A section is short, and calls nothing that is not ours. Sections nest. Explored threads do not
/// fork, and begin none.
@usableFromInline
package enum ForkSection {
    /// How many threads are inside. Threads that begin sections at the same time count in words of
    /// different cache lines: a thread's number says which.
    private static let counts = InlineArray<256, Synchronization.Atomic<UInt32>> { _ in
        Synchronization.Atomic(0)
    }
    private static let lines = 8
    private static let wordsOfLine = 32

    /// 1 while a thread forks.
    private static let isForking = Synchronization.Atomic<UInt32>(0)
    /// Held by the thread that forks.
    private static let forking = ForkLock(())

    /// Runs `body` as a section.
    @inlinable
    @inline(__always)
    package static func run<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard Watch.observer == nil else { return try body() }
        begin()
        defer { end() }
        return try body()
    }

    @usableFromInline
    static func begin() {
        let line = line(of: LockWord.token())
        let block = unsafe quiesce_current_block()
        unsafe block.pointee.fork_sections += 1
        guard unsafe block.pointee.fork_sections == 1 else { return }
        while true {
            // This counts itself before it looks whether a thread forks, and a thread that forks
            // says so before it looks at the counts: one of the two sees the other.
            counts[line].wrappingAdd(1, ordering: .sequentiallyConsistent)
            if isForking.load(ordering: .sequentiallyConsistent) == 0 { return }
            counts[line].wrappingSubtract(1, ordering: .releasing)
            while isForking.load(ordering: .acquiring) != 0 {
                unsafe withUnsafePointer(to: isForking) { _ = unsafe quiesce_futex_wait($0, 1, 0) }
            }
        }
    }

    @usableFromInline
    static func end() {
        let block = unsafe quiesce_current_block()
        unsafe block.pointee.fork_sections -= 1
        guard unsafe block.pointee.fork_sections == 0 else { return }
        counts[line(of: unsafe block.pointee.id)].wrappingSubtract(1, ordering: .releasing)
    }

    private static func line(of number: UInt32) -> Int {
        Int(number) % lines * wordsOfLine
    }

    // MARK: Forking

    /// Waits until no other thread is inside a section, and lets none begin.
    static func beforeFork() {
        forking.lock()
        isForking.store(1, ordering: .sequentiallyConsistent)
        // A signal handler may fork while its thread is inside a section.
        let block = unsafe quiesce_current_block()
        let own = unsafe block.pointee.fork_sections == 0 ? nil : line(of: block.pointee.id)
        for line in stride(from: 0, to: counts.count, by: wordsOfLine) {
            let expected: UInt32 = line == own ? 1 : 0
            while counts[line].load(ordering: .sequentiallyConsistent) != expected {
                quiesce_yield()
            }
        }
    }

    static func afterForkInParent() {
        isForking.store(0, ordering: .releasing)
        unsafe withUnsafePointer(to: isForking) { _ = unsafe quiesce_futex_wake($0, Int32.max) }
        forking.unlock()
    }

    /// The counts are right as they are: they were waited for.
    static func afterForkInChild() {
        isForking.store(0, ordering: .releasing)
        forking.reset()
    }

    /// Makes the constants above, so that no thread is making one when another forks.
    static func prepare() {
        _ = counts[0].load(ordering: .relaxed)
        _ = isForking.load(ordering: .relaxed)
        forking.withLock { _ in }
    }
}
