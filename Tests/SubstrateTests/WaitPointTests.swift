// SPDX-License-Identifier: Apache-2.0

import Substrate
import TestSupport
import Testing

@Suite struct WaitPointTests {
    private let past = WorldClock.Instant(nanoseconds: 1)

    @Test func `a wait returns at once when the word has another value`() {
        let point = WaitPoint(1)
        let changed = point.wait(while: 0)
        #expect(changed)
        let inTime = point.wait(while: 2, until: past)
        #expect(inTime)
    }

    @Test func `a wait ends at its deadline`() {
        let point = WaitPoint(7)
        let woken = point.wait(while: 7, until: past)
        #expect(!woken)
        let near = WorldClock.now() + .milliseconds(5)
        while point.wait(while: 7, until: near) {}
        #expect(WorldClock.now() >= near)
    }

    @Test func `a wake that follows the change is not missed`() throws {
        let point = WaitPoint()
        let thread = try WorldThread.spawn {
            while point.word.load(ordering: .acquiring) == 0 { point.wait(while: 0) }
            point.word.store(2, ordering: .releasing)
            point.wake()
        }
        point.word.store(1, ordering: .releasing)
        point.wake()
        while point.word.load(ordering: .acquiring) == 1 { point.wait(while: 1) }
        thread.join()
        #expect(point.word.load(ordering: .relaxed) == 2)
    }

    @Test func `a wake of all lets every sleeper go`() throws {
        let point = WaitPoint()
        let sleepers = [Sleeper(), Sleeper(), Sleeper()]
        let gone = Atomic<Int>(0)
        try together(4) { index in
            if index == 3 {
                for sleeper in sleepers { sleeper.waitUntilAsleep() }
                point.word.store(1, ordering: .releasing)
                point.wake()
            } else {
                sleepers[index].announce()
                while point.word.load(ordering: .acquiring) == 0 { point.wait(while: 0) }
                gone.add(1, ordering: .relaxed)
            }
        }
        #expect(gone.load(ordering: .relaxed) == 3)
    }

    @Test func `as many wakes of one let as many sleepers go`() throws {
        let point = WaitPoint()
        let sleepers = [Sleeper(), Sleeper(), Sleeper()]
        try together(4) { index in
            if index == 3 {
                for sleeper in sleepers { sleeper.waitUntilAsleep() }
                point.word.store(1, ordering: .releasing)
                for _ in 0..<3 { point.wake(1) }
            } else {
                sleepers[index].announce()
                while point.word.load(ordering: .acquiring) == 0 { point.wait(while: 0) }
            }
        }
        #expect(point.word.load(ordering: .relaxed) == 1)
    }

    @Test(arguments: [0, -1])
    func `a wake of none wakes nobody`(_ count: Int) throws {
        let point = WaitPoint()
        let sleeper = Sleeper()
        let (ended, woken) = (Counter(), Counter())
        let thread = try WorldThread.spawn {
            sleeper.announce()
            if point.wait(while: 0, until: WorldClock.now() + .milliseconds(50)) {
                woken.count.add(1, ordering: .relaxed)
            }
            ended.count.add(1, ordering: .releasing)
        }
        sleeper.waitUntilAsleep()
        spin {
            point.wake(count)
            return ended.count.load(ordering: .acquiring) == 0
        }
        thread.join()
        #expect(woken.count.load(ordering: .relaxed) == 0)
    }
}
