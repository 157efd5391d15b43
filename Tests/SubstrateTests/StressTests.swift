// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate
import TestSupport
import Testing

/// Real threads against each other; also meant for `swift test --sanitize=thread --filter Stress`.
@Suite struct Stress {
    @Test func `a mutex counts every increment`() throws {
        let mutex = Mutex(0)
        try together(8) { index in
            for round in 0..<4000 {
                if (index + round) % 4 == 0 {
                    var done = false
                    while !done { done = mutex.withLockIfAvailable { $0 += 1 } != nil }
                } else {
                    mutex.withLock { $0 += 1 }
                }
            }
        }
        #expect(mutex.withLock { $0 } == 32_000)
    }

    @Test(arguments: [RWLock<Int>.Preference.writers, .readers])
    func `a reader-writer lock shows whole states`(_ preference: RWLock<Int>.Preference) throws {
        let numbers = RWLock([0, 0], preferring: preference == .writers ? .writers : .readers)
        let torn = Atomic<Int>(0)
        try together(6) { index in
            for round in 0..<1500 {
                switch (index + round) % 6 {
                case 0:
                    numbers.withWriteLock {
                        $0[0] += 1
                        $0[1] += 1
                    }
                case 1:
                    _ = numbers.withWriteLockIfAvailable { $0 = $0.map { $0 + 1 } }
                case 2:
                    if numbers.withReadLockIfAvailable({ $0[0] != $0[1] }) == true {
                        torn.add(1, ordering: .relaxed)
                    }
                default:
                    if numbers.withReadLock({ $0[0] != $0[1] }) { torn.add(1, ordering: .relaxed) }
                }
            }
        }
        #expect(torn.load(ordering: .relaxed) == 0)
        #expect(numbers.withReadLock { $0[0] } >= 1500)
    }

    /// The sections are long enough that others fall asleep, and short enough that they are woken
    /// while further ones come.
    @Test(arguments: [RWLock<Int>.Preference.writers, .readers])
    func `nobody that waits for a reader-writer lock is forgotten`(
        _ preference: RWLock<Int>.Preference
    ) throws {
        let lock = RWLock(0, preferring: preference)
        let inside = Atomic<Int>(0)
        let crowded = Atomic<Int>(0)
        try together(8) { index in
            for round in 0..<400 {
                if (index + round) % 3 == 0 {
                    lock.withWriteLock {
                        if inside.wrappingAdd(1000, ordering: .relaxed).oldValue != 0 {
                            crowded.add(1, ordering: .relaxed)
                        }
                        $0 += 1
                        if round % 5 == 0 { quiesce_yield() }
                        inside.wrappingSubtract(1000, ordering: .relaxed)
                    }
                } else {
                    lock.withReadLock { _ in
                        if inside.wrappingAdd(1, ordering: .relaxed).oldValue >= 1000 {
                            crowded.add(1, ordering: .relaxed)
                        }
                        if round % 7 == 0 { quiesce_yield() }
                        inside.wrappingSubtract(1, ordering: .relaxed)
                    }
                }
            }
        }
        #expect(crowded.load(ordering: .relaxed) == 0)
        let writes = (0..<8).map { index in (0..<400).count { (index + $0) % 3 == 0 } }
        #expect(lock.withWriteLockIfAvailable { $0 } == writes.reduce(0, +))
    }

    @Test func `producers and consumers pass every item once`() throws {
        let queue = Mutex<[Int]>([])
        let (notEmpty, notFull) = (Shared(), Shared())
        let sum = Atomic<Int>(0)
        try together(6) { index in
            for item in 1...1000 {
                if index % 2 == 0 {
                    queue.withLock(waitingFor: notFull.condition, while: { $0.count >= 4 }) {
                        $0.append(item)
                    }
                    notEmpty.condition.signal()
                } else {
                    let item = queue.withLock(waitingFor: notEmpty.condition, while: { $0.isEmpty })
                    {
                        $0.removeFirst()
                    }
                    if item % 7 == 0 {
                        notFull.condition.broadcast()
                    } else {
                        notFull.condition.signal()
                    }
                    sum.add(item, ordering: .relaxed)
                }
            }
        }
        #expect(sum.load(ordering: .relaxed) == 3 * 500_500)
        #expect(queue.withLock { $0.count } == 0)
    }

    @Test func `a wait with a deadline keeps the lock's promise`() throws {
        let mutex = Mutex(0)
        let condition = Condition()
        try together(4) { index in
            for round in 0..<300 {
                mutex.lock()
                if (index + round) % 2 == 0 {
                    condition.wait(mutex, until: WorldClock.now() + .microseconds(round % 50))
                } else {
                    condition.broadcast()
                }
                mutex.unlock()
                mutex.withLock { $0 += 1 }
            }
        }
        #expect(mutex.withLock { $0 } == 1200)
    }

    @Test func `threads take turns at a wait point`() throws {
        let point = WaitPoint()
        let turns = Unsynchronized(0)
        try together(3) { index in
            for round in 0..<700 {
                let mine = UInt32(round * 3 + index)
                while true {
                    let now = point.word.load(ordering: .acquiring)
                    if now == mine { break }
                    point.wait(while: now)
                }
                // Plain memory: the word that is stored with release and loaded with acquire passes
                // it on.
                turns.store(turns.load() + 1)
                point.word.store(mine + 1, ordering: .releasing)
                point.wake()
            }
        }
        #expect(turns.load() == 2100)
    }

    /// Dekker's flags: each raises its own and looks at the other's. The frequent side pays no
    /// fence for it.
    ///
    /// What the section protects is atomic here: thread sanitizer does not know that `membarrier`
    /// orders memory.
    @Test func `an asymmetric flag and a membarrier never let both in`() throws {
        let (frequent, rare) = (Counter(), Counter())
        let inside = Atomic<Int>(0)
        let (both, entered) = (Counter(), Counter())
        let stop = Atomic<Bool>(false)
        @Sendable func section() {
            if inside.wrappingAdd(1, ordering: .relaxed).oldValue != 0 {
                both.count.add(1, ordering: .relaxed)
            }
            // Stays for a moment, so that two who are in at once meet.
            for _ in 0..<20 { entered.count.wrappingAdd(1, ordering: .relaxed) }
            inside.wrappingSubtract(1, ordering: .relaxed)
        }
        try together(2) { index in
            if index == 0 {
                while !stop.load(ordering: .relaxed) {
                    frequent.count.storeAsymmetric(1)
                    if rare.count.load(ordering: .acquiring) == 0 { section() }
                    frequent.count.store(0, ordering: .releasing)
                }
            } else {
                waitUntil { entered.count.load(ordering: .relaxed) > 0 }
                for _ in 0..<50_000 {
                    rare.count.store(1, ordering: .relaxed)
                    membarrier()
                    if frequent.count.load(ordering: .acquiring) == 0 { section() }
                    rare.count.store(0, ordering: .releasing)
                }
                stop.store(true, ordering: .relaxed)
            }
        }
        #expect(both.count.load(ordering: .relaxed) == 0)
        #expect(entered.count.load(ordering: .relaxed) > 0)
    }

    @Test func `threads come and go while locks are in use`() throws {
        let mutex = Mutex(0)
        let local = ThreadLocal(0)
        for _ in 0..<15 {
            try together(10) { _ in
                for _ in 0..<20 {
                    local.withValue { $0 += 1 }
                    mutex.withLock { $0 += 1 }
                }
                let mine = local.withValue { $0 }
                mutex.withLock { $0 += mine - 20 }
            }
        }
        #expect(mutex.withLock { $0 } == 3000)
    }
}

private final class Shared: Sendable {
    let condition = Condition()
}
