// SPDX-License-Identifier: Apache-2.0

import Substrate
import TestSupport
import Testing

private struct Refused: Error, Equatable {}

private struct Token: ~Copyable {
    var count: Int
}

@Suite struct RWLockTests {
    @Test(arguments: [RWLock<Int>.Preference.writers, .readers])
    func `a writer is alone and readers see whole states`(_ preference: RWLock<Int>.Preference)
        throws
    {
        let pair = RWLock((0, 0), preferring: preference == .writers ? .writers : .readers)
        let torn = Atomic<Bool>(false)
        try together(6) { index in
            for _ in 0..<300 {
                if index % 3 == 0 {
                    pair.withWriteLock {
                        $0.0 += 1
                        $0.1 += 1
                    }
                } else if pair.withReadLock({ $0.0 != $0.1 }) {
                    torn.store(true, ordering: .relaxed)
                }
            }
        }
        #expect(torn.load(ordering: .relaxed) == false)
        #expect(pair.withReadLock { $0.0 } == 600)
    }

    @Test(arguments: [RWLock<Int>.Preference.writers, .readers])
    func `readers are inside together`(_ preference: RWLock<Int>.Preference) throws {
        let lock = RWLock(1, preferring: preference)
        let inside = Atomic<Int>(0)
        try together(3) { _ in
            lock.withReadLock { _ in
                inside.add(1, ordering: .relaxed)
                // None leaves before all are in.
                waitUntil { inside.load(ordering: .relaxed) == 3 }
            }
        }
        #expect(inside.load(ordering: .relaxed) == 3)
    }

    @Test(arguments: [RWLock<Int>.Preference.writers, .readers])
    func `tries fail against a writer, and a writer's try against a reader`(
        _ preference: RWLock<Int>.Preference
    ) {
        let lock = RWLock(1, preferring: preference)
        lock.withWriteLock { _ in
            #expect(lock.withReadLockIfAvailable { $0 } == nil)
            #expect(lock.withWriteLockIfAvailable { $0 } == nil)
        }
        lock.withReadLock { _ in
            #expect(lock.withReadLockIfAvailable { $0 } == 1)
            #expect(lock.withWriteLockIfAvailable { $0 } == nil)
        }
        #expect(
            lock.withWriteLockIfAvailable {
                $0 += 1; return $0
            } == 2)
        #expect(lock.withReadLockIfAvailable { $0 } == 2)
    }

    @Test func `readers wait behind a waiting writer`() throws {
        let lock = RWLock<[String]>([])
        let sleeper = Sleeper()
        let (writer, reader) = try lock.withReadLock { _ in
            let writer = try Started { lock.withWriteLock { $0.append("written") } }
            // From the moment when the writer waits, no reader comes in.
            waitUntil { lock.withReadLockIfAvailable { _ in true } == nil }
            let reader = try Started {
                sleeper.announce()
                let seen = lock.withReadLock { $0 }
                lock.withWriteLock { $0 = seen + ["read"] }
            }
            sleeper.waitUntilAsleep()
            return (writer, reader)
        }
        writer.wait()
        reader.wait()
        #expect(lock.withReadLock { $0 } == ["written", "read"])
    }

    @Test func `readers that are preferred pass a waiting writer`() throws {
        let lock = RWLock(0, preferring: .readers)
        let sleeper = Sleeper()
        let writer = try lock.withReadLock { _ in
            let writer = try Started {
                sleeper.announce()
                lock.withWriteLock { $0 += 1 }
            }
            sleeper.waitUntilAsleep()
            #expect(lock.withReadLockIfAvailable { $0 } == 0)
            // Another thread, and the reader itself again.
            try together(1) { _ in lock.withReadLock { _ in } }
            #expect(lock.withReadLock { $0 } == 0)
            return writer
        }
        writer.wait()
        #expect(lock.withReadLock { $0 } == 1)
    }

    @Test func `readers come in again when the last waiting writer has left`() throws {
        let lock = RWLock(0)
        let sleeper = Sleeper()
        let writer = try lock.withReadLock { _ in
            let writer = try Started {
                sleeper.announce()
                lock.withWriteLock { $0 += 1 }
            }
            sleeper.waitUntilAsleep()
            return writer
        }
        writer.wait()
        #expect(lock.withReadLockIfAvailable { $0 } == 1)
        #expect(lock.withWriteLockIfAvailable { $0 } == 1)
    }

    @Test func `a body that throws releases the lock`() {
        let lock = RWLock(0)
        #expect(throws: Refused()) {
            try lock.withReadLock { _ throws(Refused) in throw Refused() }
        }
        #expect(throws: Refused()) {
            try lock.withWriteLock { _ throws(Refused) in throw Refused() }
        }
        #expect(lock.withWriteLockIfAvailable { $0 } == 0)
    }

    @Test func `a value that cannot be copied is lent to readers and changed by the writer`() {
        let lock = RWLock(Token(count: 1))
        lock.withWriteLock { $0.count += 1 }
        #expect(lock.withReadLock { $0.count } == 2)
    }
}

/// A thread that outlives the scope that started it: a `Thread` cannot be part of a tuple.
private final class Started: Sendable {
    private let ended = WaitPoint(0)

    init(_ body: @escaping @Sendable () -> Void) throws {
        _ = try Thread.spawn { [self] in
            body()
            ended.word.store(1, ordering: .releasing)
            ended.wake()
        }
    }

    func wait() {
        while ended.word.load(ordering: .acquiring) == 0 { ended.wait(while: 0) }
    }
}
