// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@Suite struct ClockTests {
    private typealias Instant = WorldClock.Instant

    @Test func `instants are ordered by their nanoseconds`() {
        #expect(Instant(nanoseconds: 1) < Instant(nanoseconds: 2))
        #expect(Instant(nanoseconds: 2) == Instant(nanoseconds: 2))
        #expect(Set([Instant(nanoseconds: 3), Instant(nanoseconds: 3)]).count == 1)
    }

    @Test func `a duration moves an instant either way`() {
        let instant = Instant(nanoseconds: 5_000_000_000)
        #expect(instant + .seconds(2) == Instant(nanoseconds: 7_000_000_000))
        #expect(instant + .milliseconds(-1) == Instant(nanoseconds: 4_999_000_000))
        #expect(instant + .nanoseconds(1) == Instant(nanoseconds: 5_000_000_001))
        #expect(instant + .zero == instant)
    }

    @Test func `less than a nanosecond is not told`() {
        let instant = Instant(nanoseconds: 10)
        let part = Duration(secondsComponent: 0, attosecondsComponent: 999_999_999)
        #expect(instant + part == instant)
    }

    @Test func `an instant stops at the first and the last that can be told`() {
        #expect(Instant(nanoseconds: 5) + .seconds(-1) == Instant(nanoseconds: 0))
        #expect(Instant(nanoseconds: .max) + .nanoseconds(1) == Instant(nanoseconds: .max))
        #expect(Instant(nanoseconds: 1) + .seconds(Int64.max) == Instant(nanoseconds: .max))
        #expect(Instant(nanoseconds: .max) + .seconds(Int64.min) == Instant(nanoseconds: 0))
    }

    @Test func `the difference of two instants is a duration`() {
        #expect(Instant(nanoseconds: 7) - Instant(nanoseconds: 5) == .nanoseconds(2))
        #expect(Instant(nanoseconds: 5) - Instant(nanoseconds: 7) == .nanoseconds(-2))
        #expect(Instant(nanoseconds: .max) - Instant(nanoseconds: 0) == .nanoseconds(Int64.max))
        #expect(Instant(nanoseconds: 0) - Instant(nanoseconds: .max) == .nanoseconds(Int64.min))
    }

    @Test func `the present does not go back`() {
        var last = WorldClock.now()
        for _ in 0..<100 {
            let now = WorldClock.now()
            #expect(now >= last)
            last = now
        }
    }

    @Test func `a sleep does not end before its deadline`() {
        WorldClock.sleep(until: Instant(nanoseconds: 1))
        let deadline = WorldClock.now() + .milliseconds(2)
        WorldClock.sleep(until: deadline)
        #expect(WorldClock.now() >= deadline)
        let before = WorldClock.now()
        WorldClock.sleep(for: .milliseconds(1))
        #expect(WorldClock.now() >= before + .milliseconds(1))
        WorldClock.sleep(for: .seconds(-1))
    }
}
