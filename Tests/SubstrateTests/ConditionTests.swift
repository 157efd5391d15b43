// SPDX-License-Identifier: Apache-2.0

import Substrate
import TestSupport
import Testing

private struct Refused: Error, Equatable {}

@Suite struct ConditionTests {
    private let past = WorldClock.Instant(nanoseconds: 1)

    @Test func `a waiter goes on when what it waits for has come`() throws {
        let mutex = Mutex(0)
        let condition = Condition()
        let sleeper = Sleeper()
        let thread = try WorldThread.spawn {
            mutex.withLock(
                waitingFor: condition,
                while: { value in
                    sleeper.announce()
                    return value == 0
                }
            ) { $0 += 1 }
        }
        sleeper.waitUntilAsleep()
        mutex.withLock { $0 = 10 }
        condition.signal()
        thread.join()
        #expect(mutex.withLock { $0 } == 11)
    }

    @Test func `one signal a token is enough for as many waiters`() throws {
        let tokens = Mutex(0)
        let condition = Condition()
        let taken = Atomic<Int>(0)
        try together(5) { index in
            if index == 4 {
                for _ in 0..<4 {
                    tokens.withLock { $0 += 1 }
                    condition.signal()
                }
            } else {
                tokens.withLock(waitingFor: condition, while: { $0 == 0 }) { $0 -= 1 }
                taken.add(1, ordering: .relaxed)
            }
        }
        #expect(taken.load(ordering: .relaxed) == 4)
        #expect(tokens.withLock { $0 } == 0)
    }

    @Test func `a broadcast wakes every waiter`() throws {
        let isOpen = Mutex(false)
        let condition = Condition()
        let sleepers = [Sleeper(), Sleeper(), Sleeper()]
        try together(4) { index in
            if index == 3 {
                for sleeper in sleepers { sleeper.waitUntilAsleep() }
                isOpen.withLock { $0 = true }
                condition.broadcast()
            } else {
                isOpen.withLock(
                    waitingFor: condition,
                    while: { isOpen in
                        sleepers[index].announce()
                        return !isOpen
                    }
                ) { _ in }
            }
        }
        #expect(isOpen.withLock { $0 } == true)
    }

    @Test func `a signal that nobody waits for is not kept`() {
        let mutex = Mutex(0)
        let condition = Condition()
        condition.signal()
        condition.broadcast()
        mutex.lock()
        let woken = condition.wait(mutex, until: past)
        mutex.unlock()
        #expect(!woken)
    }

    @Test func `a wait ends at its deadline with the lock held`() throws {
        let mutex = Mutex(0)
        let condition = Condition()
        let free = Atomic<Bool>(true)
        mutex.lock()
        var woken = condition.wait(mutex, until: past)
        #expect(!woken)
        let near = WorldClock.now() + .milliseconds(5)
        repeat { woken = condition.wait(mutex, until: near) } while woken
        #expect(WorldClock.now() >= near)
        try together(1) { _ in
            free.store(mutex.withLockIfAvailable { _ in } != nil, ordering: .relaxed)
        }
        mutex.unlock()
        #expect(free.load(ordering: .relaxed) == false)
    }

    @Test func `a wait releases the lock while it waits`() throws {
        let mutex = Mutex(false)
        let condition = Condition()
        let thread = try WorldThread.spawn {
            mutex.withLock { $0 = true }
            condition.signal()
        }
        mutex.withLock(waitingFor: condition, while: { !$0 }) { $0 = false }
        thread.join()
        #expect(mutex.withLock { $0 } == false)
    }

    @Test func `a wait that is signalled before its deadline says so`() throws {
        let mutex = Mutex(false)
        let condition = Condition()
        mutex.lock()
        let thread = try WorldThread.spawn {
            mutex.withLock { $0 = true }
            condition.signal()
        }
        let woken = condition.wait(mutex, until: WorldClock.Instant(nanoseconds: .max))
        mutex.unlock()
        thread.join()
        #expect(woken)
    }

    @Test func `a predicate that throws releases the lock`() {
        let mutex = Mutex(0)
        let condition = Condition()
        #expect(throws: Refused()) {
            try mutex.withLock(
                waitingFor: condition, while: { _ throws(Refused) in throw Refused() }
            ) {
                _ throws(Refused) in
            }
        }
        #expect(mutex.withLockIfAvailable { $0 } == 0)
    }

    @Test func `a condition that need not be waited for runs the body at once`() {
        let mutex = Mutex(1)
        let value = mutex.withLock(waitingFor: Condition(), while: { $0 == 0 }) { $0 }
        #expect(value == 1)
    }
}
