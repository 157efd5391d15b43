// SPDX-License-Identifier: Apache-2.0

import Substrate
import TestSupport
import Testing

private struct Refused: Error, Equatable {}

private struct Token: ~Copyable {
    var count: Int
}

@Suite struct MutexTests {
    @Test func `only one of many threads is inside`() throws {
        let mutex = Mutex(0)
        let inside = Atomic<Int>(0)
        let crowded = Atomic<Bool>(false)
        try together(8) { _ in
            for _ in 0..<500 {
                mutex.withLock { value in
                    if inside.add(1, ordering: .relaxed).newValue != 1 {
                        crowded.store(true, ordering: .relaxed)
                    }
                    value += 1
                    inside.subtract(1, ordering: .relaxed)
                }
            }
        }
        #expect(mutex.withLock { $0 } == 4000)
        #expect(crowded.load(ordering: .relaxed) == false)
    }

    @Test func `lock and unlock exclude as withLock does`() throws {
        let mutex = Mutex(())
        let value = Unsynchronized(0)
        try together(4) { _ in
            for _ in 0..<500 {
                mutex.lock()
                value.store(value.load() + 1)
                mutex.unlock()
            }
        }
        #expect(value.load() == 2000)
    }

    @Test func `a try fails while another thread holds the lock and succeeds afterwards`() throws {
        let mutex = Mutex(1)
        let results = Mutex<[Bool]>([])
        try mutex.withLock { _ in
            try together(1) { _ in
                let locked = mutex.tryLock()
                let value = mutex.withLockIfAvailable { $0 }
                results.withLock { $0 = [locked, value != nil] }
            }
        }
        #expect(results.withLock { $0 } == [false, false])
        let locked = mutex.tryLock()
        #expect(locked)
        mutex.unlock()
        let found = mutex.withLockIfAvailable {
            $0 += 1; return $0
        }
        #expect(found == 2)
    }

    @Test func `a try of the holder itself fails`() {
        let mutex = Mutex(1)
        mutex.withLock { _ in
            let locked = mutex.tryLock()
            #expect(!locked)
        }
    }

    @Test func `a lock that was waited for can be taken again by others`() throws {
        let mutex = Mutex(0)
        let sleeper = Sleeper()
        mutex.lock()
        let thread = try WorldThread.spawn {
            sleeper.announce()
            mutex.withLock { $0 += 1 }
        }
        sleeper.waitUntilAsleep()
        mutex.unlock()
        thread.join()
        #expect(mutex.withLockIfAvailable { $0 } == 1)
    }

    @Test func `a body that throws releases the lock`() {
        let mutex = Mutex(0)
        #expect(throws: Refused()) {
            try mutex.withLock { value throws(Refused) in
                value = 1
                throw Refused()
            }
        }
        #expect(throws: Refused()) {
            _ = try mutex.withLockIfAvailable { value throws(Refused) in
                value += 1
                throw Refused()
            }
        }
        #expect(mutex.withLockIfAvailable { $0 } == 2)
    }

    @Test func `a value that cannot be copied is changed in place and can be taken out`() {
        let mutex = Mutex(Token(count: 1))
        mutex.withLock { $0.count += 1 }
        let taken = mutex.withLock { token in
            let old = token.count
            token = Token(count: 10)
            return Token(count: old)
        }
        #expect(taken.count == 2)
        #expect(mutex.withLock { $0.count } == 10)
    }

    @Test func `the value dies with its lock`() {
        final class Value: Sendable {
            let deaths: Counter
            init(_ deaths: Counter) { self.deaths = deaths }
            deinit { deaths.count.wrappingAdd(1, ordering: .relaxed) }
        }
        let deaths = Counter()
        do {
            let mutex = Mutex(Value(deaths))
            mutex.withLock { $0 = Value(deaths) }
            #expect(deaths.count.load(ordering: .relaxed) == 1)
        }
        #expect(deaths.count.load(ordering: .relaxed) == 2)
    }

    @Test func `locking twice on one thread traps`() async {
        await #expect(processExitsWith: .failure) {
            let mutex = Mutex(0)
            mutex.withLock { _ in mutex.withLock { $0 += 1 } }
        }
    }

    @Test func `unlocking what another thread holds traps`() async {
        await #expect(processExitsWith: .failure) {
            let mutex = Mutex(0)
            hold(mutex)
            try together(1) { _ in release(mutex) }
        }
    }

    @Test func `unlocking a free lock traps`() async {
        await #expect(processExitsWith: .failure) {
            release(Mutex(0))
        }
    }
}

final class Counter: Sendable {
    let count = Atomic<Int>(0)
}

// An exit test's body is asynchronous, where these may not be called.
private func hold(_ mutex: borrowing Mutex<Int>) { mutex.lock() }
private func release(_ mutex: borrowing Mutex<Int>) { mutex.unlock() }
