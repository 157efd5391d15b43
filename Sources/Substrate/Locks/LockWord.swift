// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

/// The slow paths of a lock word: 0 when free, else the holder's number and whether somebody
/// sleeps.
@usableFromInline
enum LockWord {
    static let contended: UInt32 = 1 << 31
    /// Set where an exploration holds the lock; the number is that of the thread that explores.
    static let explored: UInt32 = 1 << 30
    private static let spins = 64

    /// The running thread's number, registering the thread at its first use.
    @usableFromInline
    static func token() -> UInt32 {
        let id = unsafe quiesce_current_block().pointee.id
        return id != 0 ? id : World.registerCurrentThread()
    }

    /// - Parameter namesThread: whether holders are threads of the process by their numbers.
    static func acquire(
        _ word: borrowing Synchronization.Atomic<UInt32>, _ token: UInt32,
        namesThread: Bool = true
    ) {
        var rounds = 0
        // Once this thread has slept, others may sleep behind it: it must take the lock as a
        // contended one.
        var desired = token
        while true {
            let found = word.load(ordering: .relaxed)
            if found == 0 {
                if word.weakCompareExchange(expected: 0, desired: desired, ordering: .acquiring)
                    .exchanged
                {
                    return
                }
                continue
            }
            guard found & ~contended != token else {
                fatalError(
                    "a thread locked a Mutex that it already holds; it would wait for itself for ever"
                )
            }
            rounds += 1
            // Also while others sleep: they are woken one by one, and if everybody else slept behind
            // them, each holder would have to make two system calls until no thread wants the lock.
            if rounds < spins {
                quiesce_pause()
                continue
            }
            if namesThread, World.hasStayedBehind(found & ~contended) {
                fatalError(
                    "a Mutex was held by another thread when this process was forked; it is held for ever. Lock it before the fork, or do not use it in the child"
                )
            }
            let marked = found | contended
            if found != marked {
                guard
                    word.weakCompareExchange(expected: found, desired: marked, ordering: .relaxed)
                        .exchanged
                else {
                    continue
                }
            }
            BlockingObserver.told {
                unsafe withUnsafePointer(to: word) { _ = unsafe quiesce_futex_wait($0, marked, 0) }
            }
            desired = token | contended
            rounds = 0
        }
    }

    static func release(_ word: borrowing Synchronization.Atomic<UInt32>, _ token: UInt32) {
        let found = word.exchange(0, ordering: .releasing)
        guard found & ~contended == token else {
            fatalError("a thread unlocked a Mutex that it does not hold")
        }
        if found & contended != 0 {
            unsafe withUnsafePointer(to: word) { _ = unsafe quiesce_futex_wake($0, 1) }
        }
    }
}
