// SPDX-License-Identifier: Apache-2.0

public import CSubstrate
public import Synchronization

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
    /// Held by the thread that forks.
    private static let forking = ForkLock(())

    /// Runs `body` as a section.
    @inlinable
    @inline(__always)
    package static func run<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard Watch.observer == nil else { return try body() }
        let isOutermost = begin()
        defer { if isOutermost { end() } }
        return try body()
    }

    /// Begins a section; false where the thread is inside of one already.
    @inlinable
    @inline(__always)
    static func begin() -> Bool {
        guard let pointer = unsafe quiesce_current_block().pointee.fork_mark else {
            return beginSlow()
        }
        let mark = unsafe mark(pointer)
        guard unsafe mark.pointee.load(ordering: .relaxed) == 0 else { return false }
        // This marks itself before it looks whether a thread forks, and a thread that forks says so
        // before it looks at the marks, behind a barrier: one of the two sees the other.
        unsafe mark.pointee.store(1, ordering: .relaxed)
        quiesce_compiler_barrier()
        if _slowPath(quiesce_is_forking()) { unsafe announce(mark) }
        return true
    }

    @usableFromInline
    @inline(never)
    static func beginSlow() -> Bool {
        let mark = unsafe ownMark()
        guard unsafe mark.pointee.load(ordering: .relaxed) == 0 else { return false }
        unsafe announce(mark)
        return true
    }

    @usableFromInline
    @inline(never)
    static func announce(_ mark: Mark) {
        while true {
            unsafe mark.pointee.store(1, ordering: .relaxed)
            Membarrier.followAsymmetricStore()
            if !quiesce_is_forking() { return }
            unsafe mark.pointee.store(0, ordering: .releasing)
            while quiesce_is_forking() {
                _ = unsafe quiesce_futex_wait(quiesce_forking_word(), 1, 0)
            }
        }
    }

    @inlinable
    @inline(__always)
    static func end() {
        guard let pointer = unsafe quiesce_current_block().pointee.fork_mark else {
            return endSlow()
        }
        unsafe mark(pointer).pointee.store(0, ordering: .releasing)
    }

    @usableFromInline
    @inline(never)
    static func endSlow() { unsafe ownMark().pointee.store(0, ordering: .releasing) }

    @usableFromInline typealias Mark = UnsafeMutablePointer<Synchronization.Atomic<UInt8>>

    @inlinable
    static func mark(_ pointer: UnsafeMutableRawPointer) -> Mark {
        unsafe pointer.assumingMemoryBound(to: Synchronization.Atomic<UInt8>.self)
    }

    private static func ownMark() -> Mark {
        let mark = unsafe World.process.presence.forkMark(of: LockWord.token())
        if Membarrier.support == .expedited {
            unsafe quiesce_current_block().pointee.fork_mark = UnsafeMutableRawPointer(mark)
        }
        return unsafe mark
    }

    // MARK: Forking

    /// Waits until no other thread is inside a section, and lets none begin.
    static func beforeFork() {
        forking.lock()
        quiesce_set_forking(true)
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
        quiesce_set_forking(false)
        _ = unsafe quiesce_futex_wake(quiesce_forking_word(), Int32.max)
        forking.unlock()
    }

    static func afterForkInChild() {
        quiesce_set_forking(false)
        forking.reset()
    }

    /// Makes the lock above, so that no thread is making it when another forks.
    static func prepare() {
        forking.withLock { _ in }
    }
}
