// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import Substrate

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

    // MARK: Waking

    @Test(arguments: [RWLock<Int>.Preference.writers, .readers])
    func `what nobody waits for wakes nobody`(_ preference: RWLock<Int>.Preference) {
        let words = RWLockWords(
            LockClass(Site(#filePath, #line)), prefersReaders: preference == .readers)
        let observer = RecordingObserver()
        observer.watch {
            for _ in 0..<2 {
                words.takeWrite(by: 7)
                words.giveWriteBack()
                words.takeRead()
                words.takeRead()
                words.giveReadBack()
                words.giveReadBack()
            }
        }
        #expect(Set(observer.operations.map(\.object)) == [words.address], "only the state is used")
        #expect(!observer.kinds.contains(.wake))
        #expect(words.state.load(ordering: .relaxed) == 0)
    }

    @Test(arguments: [RWLock<Int>.Preference.writers, .readers])
    func `every reader and every writer that waits is woken`(
        _ preference: RWLock<Int>.Preference
    ) throws {
        let lock = RWLock(0, preferring: preference)
        let readers = Atomic<Int>(0)
        let sleepers = (0..<4).map { _ in Sleeper() }
        let started = try lock.withWriteLock { value in
            value = 1
            let started = try sleepers.indices.map { index in
                try Started {
                    sleepers[index].announce()
                    if index % 2 == 0 {
                        lock.withWriteLock { $0 += 1 }
                    } else {
                        lock.withReadLock { _ in _ = readers.add(1, ordering: .relaxed) }
                    }
                }
            }
            for sleeper in sleepers { sleeper.waitUntilAsleep() }
            return started
        }
        for each in started { each.wait() }
        #expect(lock.withReadLock { $0 } == 3)
        #expect(readers.load(ordering: .relaxed) == 2)
    }

    // MARK: One thread, twice

    @Test(arguments: [RWLock<Int>.Preference.writers, .readers])
    func `reading inside of one's own read is allowed while no writer waits`(
        _ preference: RWLock<Int>.Preference
    ) throws {
        let lock = RWLock(1, preferring: preference)
        let other = RWLock(2)
        try together(2) { _ in
            for _ in 0..<100 {
                lock.withReadLock { _ in lock.withReadLock { _ in lock.withReadLock { _ in } } }
            }
        }
        // What it reads elsewhere does not matter.
        let sum = lock.withReadLock { one in
            other.withWriteLock { $0 += one }
            return other.withReadLock { lock.withReadLock { $0 } + $0 }
        }
        #expect(sum == 4)
        lock.withWriteLock { _ in other.withWriteLock { _ in } }
        #expect(lock.withWriteLockIfAvailable { $0 } == 1, "no section is left open")
    }

    @Test func `a thread that sleeps for a lock has left what it read before`() throws {
        let lock = RWLock(0)
        let sleeper = Sleeper()
        let writer = try lock.withWriteLock { _ in
            let writer = try Started {
                // An earlier section, and one that ended with an error.
                if lock.withReadLockIfAvailable({ $0 }) != nil { return }
                let other = RWLock(0)
                other.withReadLock { _ in }
                try? other.withReadLock { _ throws(Refused) in throw Refused() }
                sleeper.announce()
                lock.withWriteLock { $0 += 1 }
            }
            sleeper.waitUntilAsleep()
            return writer
        }
        writer.wait()
        #expect(lock.withReadLock { $0 } == 1)
    }

    private static let insideItsWrite =
        "a thread locked an RWLock inside of its own withWriteLock; it would wait for itself for ever"

    @Test func `writing inside of one's own write traps`() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            let lock = RWLock(0)
            lock.withWriteLock { _ in lock.withWriteLock { $0 += 1 } }
        }
        #expect(text(result).contains(Self.insideItsWrite))
    }

    @Test func `reading inside of one's own write traps, on a thread with a listener too`() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            let lock = RWLock(0, preferring: .readers)
            RecordingListener().listen {
                lock.withWriteLock { _ in lock.withReadLock { _ in } }
            }
        }
        #expect(text(result).contains(Self.insideItsWrite))
    }

    @Test func `writing inside of one's own read traps, other sections between`() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            let lock = RWLock(0)
            let other = RWLock(0)
            lock.withReadLock { _ in other.withReadLock { _ in lock.withWriteLock { $0 += 1 } } }
        }
        #expect(
            text(result).contains(
                "a thread called withWriteLock inside of its own withReadLock of the same RWLock; "
                    + "it would wait for itself for ever"))
    }

    @Test func `reading inside of one's own read traps while a writer waits`() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            let lock = RWLock(0)
            let sleeper = Sleeper()
            try lock.withReadLock { _ in
                let writer = try Started {
                    sleeper.announce()
                    lock.withWriteLock { $0 += 1 }
                }
                sleeper.waitUntilAsleep()
                lock.withReadLock { _ in }
                writer.wait()
            }
        }
        #expect(
            text(result).contains(
                "a thread called withReadLock inside of its own withReadLock of the same RWLock "
                    + "while a writer waits; each would wait for the other for ever"))
    }

    private func text(_ result: ExitTest.Result?) -> String {
        String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    }
}

/// A thread that outlives the scope that started it: a `WorldThread` cannot be part of a tuple.
private final class Started: Sendable {
    private let ended = WaitPoint(0)

    init(_ body: @escaping @Sendable () -> Void) throws {
        _ = try WorldThread.spawn { [self] in
            body()
            ended.word.store(1, ordering: .releasing)
            ended.wake()
        }
    }

    func wait() {
        while ended.word.load(ordering: .acquiring) == 0 { ended.wait(while: 0) }
    }
}
