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
/// fork, and begin none. Where the system granted `membarrier(2)` once and refuses it later, a fork
/// ends the process, as the close of a gate does.
@usableFromInline
package enum ForkSection {
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
        let block = unsafe quiesce_current_block()
        unsafe block.pointee.fork_sections += 1
        guard unsafe block.pointee.fork_sections == 1 else { return }
        // This marks itself before it looks whether a thread forks, and a thread that forks says so
        // before it looks at the marks, behind a barrier: one of the two sees the other.
        guard let mark = unsafe block.pointee.fork_mark else { return unsafe beginSlow(block) }
        unsafe self.mark(mark).pointee.store(1, ordering: .relaxed)
        quiesce_compiler_barrier()
        if isForking.load(ordering: .acquiring) != 0 { unsafe beginSlow(block) }
    }

    @inline(never)
    private static func beginSlow(_ block: UnsafeMutablePointer<quiesce_block>) {
        let mark = unsafe ownMark(block)
        while true {
            unsafe mark.pointee.store(1, ordering: .relaxed)
            Membarrier.followAsymmetricStore()
            if isForking.load(ordering: .acquiring) == 0 { return }
            unsafe mark.pointee.store(0, ordering: .releasing)
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
        guard let mark = unsafe block.pointee.fork_mark else {
            return unsafe ownMark(block).pointee.store(0, ordering: .releasing)
        }
        unsafe self.mark(mark).pointee.store(0, ordering: .releasing)
    }

    private typealias Mark = UnsafeMutablePointer<Synchronization.Atomic<UInt8>>

    private static func mark(_ pointer: UnsafeMutableRawPointer) -> Mark {
        unsafe pointer.assumingMemoryBound(to: Synchronization.Atomic<UInt8>.self)
    }

    private static func ownMark(_ block: UnsafeMutablePointer<quiesce_block>) -> Mark {
        let mark = unsafe World.process.presence.forkMark(of: LockWord.token())
        if Membarrier.support == .expedited {
            unsafe block.pointee.fork_mark = UnsafeMutableRawPointer(mark)
        }
        return unsafe mark
    }

    // MARK: Forking

    /// Waits until no other thread is inside a section, and lets none begin.
    static func beforeFork() {
        forking.lock()
        isForking.store(1, ordering: .sequentiallyConsistent)
        Membarrier.issue()
        // A thread that registers later finds that this one forks. A signal handler may fork while
        // its own thread is inside a section.
        let own = Watch.observer == nil ? unsafe quiesce_current_block().pointee.id : 0
        for thread in World.process.liveThreads where thread != own {
            let mark = unsafe World.process.presence.forkMark(of: thread)
            while unsafe mark.pointee.load(ordering: .acquiring) != 0 { quiesce_yield() }
        }
    }

    static func afterForkInParent() {
        isForking.store(0, ordering: .releasing)
        unsafe withUnsafePointer(to: isForking) { _ = unsafe quiesce_futex_wake($0, Int32.max) }
        forking.unlock()
    }

    static func afterForkInChild() {
        isForking.store(0, ordering: .releasing)
        forking.reset()
    }

    /// Makes the constants above, so that no thread is making one when another forks.
    static func prepare() {
        _ = isForking.load(ordering: .relaxed)
        forking.withLock { _ in }
    }
}
