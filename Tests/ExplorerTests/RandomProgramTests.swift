// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@testable import Explorer

/// Small programs made at random: the optimal strategy must run each of their traces once, and see
/// what every interleaving sees.
@Suite struct RandomProgramTests {
    /// What the threads of a random program share.
    private final class State: Sendable {
        let a = Atomic(0)
        let b = Atomic(0)
        let lock = Mutex(())
        let other = Mutex(())
        let condition = Condition()
        let readers = RWLock(())
        let modelled = RWLock((), preferring: .readers)
        let point = WaitPoint()
        let seen: [Seen]

        final class Seen: @unchecked Sendable {
            // Unchecked: used by one fiber.
            var text = ""
        }

        init(threads: Int) {
            seen = (0..<threads).map { _ in Seen() }
            a.label("a")
            b.label("b")
            lock.label("lock")
            other.label("other")
            condition.label("condition")
            readers.label("readers")
            modelled.label("modelled")
            point.label("point")
        }

        var final: String {
            "\(a.load(ordering: .relaxed)) \(b.load(ordering: .relaxed)) \(seen.map(\.text))"
        }
    }

    /// One thing that a thread does.
    enum Step: CaseIterable, Sendable {
        case loadA, loadB, storeA, storeB, addA, exchangeB, compareA, compareB
        case locked, nested, tried
        case wait, timedWait, signal, broadcast
        case read, write, tryRead, tryWrite, modelledRead, modelledWrite
        case asymmetricA, asymmetricB, barrier, fence
        case sleep, now
        case park, wake
    }

    private static func perform(_ step: Step, _ state: State, _ thread: Int, _ index: Int) {
        let value = thread * 10 + index + 1
        func see(_ text: String) { state.seen[thread].text += text + "," }
        switch step {
        case .loadA: see("\(state.a.load(ordering: .sequentiallyConsistent))")
        case .loadB: see("\(state.b.load(ordering: .sequentiallyConsistent))")
        case .storeA: state.a.store(value, ordering: .sequentiallyConsistent)
        case .storeB: state.b.store(value, ordering: .sequentiallyConsistent)
        case .addA: see("\(state.a.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue)")
        case .exchangeB: see("\(state.b.exchange(value, ordering: .sequentiallyConsistent))")
        case .compareA:
            see(
                "\(state.a.compareExchange(expected: 0, desired: value, ordering: .sequentiallyConsistent))"
            )
        case .compareB:
            see(
                "\(state.b.compareExchange(expected: 0, desired: 1, ordering: .sequentiallyConsistent))"
            )
        case .locked:
            state.lock.lock()
            state.b.store(value, ordering: .sequentiallyConsistent)
            state.lock.unlock()
        case .nested:
            let isOdd = thread % 2 == 1
            if isOdd { state.other.lock() } else { state.lock.lock() }
            if isOdd { state.lock.lock() } else { state.other.lock() }
            state.other.unlock()
            state.lock.unlock()
        case .tried:
            if state.lock.tryLock() {
                see("got")
                state.lock.unlock()
            }
        case .wait, .timedWait:
            state.lock.lock()
            let deadline = WorldClock.Instant(nanoseconds: 2_000_000_000 + UInt64(value))
            let isWoken =
                step == .wait
                ? state.condition.wait(state.lock)
                : state.condition.wait(state.lock, until: deadline)
            see("\(isWoken)")
            state.lock.unlock()
        case .signal: state.condition.signal()
        case .broadcast: state.condition.broadcast()
        case .read: state.readers.withReadLock { _ in see("\(state.a.load(ordering: .relaxed))") }
        case .write: state.readers.withWriteLock { _ in state.a.store(value, ordering: .relaxed) }
        case .tryRead: see("\(state.readers.withReadLockIfAvailable { _ in 0 } != nil)")
        case .tryWrite: see("\(state.readers.withWriteLockIfAvailable { _ in 0 } != nil)")
        case .modelledRead:
            state.modelled.withReadLock { _ in see("\(state.a.load(ordering: .relaxed))") }
        case .modelledWrite:
            state.modelled.withWriteLock { _ in state.a.store(value, ordering: .relaxed) }
        case .asymmetricA: state.a.storeAsymmetric(value)
        case .asymmetricB: state.b.storeAsymmetric(value)
        case .barrier: membarrier()
        case .fence: atomicMemoryFence(ordering: .sequentiallyConsistent)
        case .sleep:
            WorldClock.sleep(until: WorldClock.Instant(nanoseconds: 2_000_000_000 + UInt64(value)))
        case .now: see("\(WorldClock.now().nanoseconds)")
        case .park: see("\(state.point.wait(while: 0))")
        case .wake:
            state.point.word.store(1, ordering: .sequentiallyConsistent)
            state.point.wake(1)
        }
    }

    private static func program(
        _ threads: [[Step]], _ outcomes: Outcomes
    ) -> (ExploredWorld) -> Void {
        { world in
            let state = State(threads: threads.count)
            for (thread, steps) in threads.enumerated() {
                world.thread("t\(thread)") {
                    for (index, step) in steps.enumerated() { perform(step, state, thread, index) }
                }
            }
            world.afterwards { outcomes.insert(state.final) }
        }
    }

    /// A small generator, so that a failure can be run again.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) | (state << 31)
        }
    }

    private static func random(_ seed: UInt64, _ steps: [Step], threads: Int, length: Int)
        -> [[Step]]
    {
        var generator = Generator(state: seed &* 0x9E37_79B9_7F4A_7C15)
        return (0..<threads).map { _ in
            (0..<length).map { _ in steps.randomElement(using: &generator)! }
        }
    }

    private func check(_ threads: [[Step]]) throws {
        let (reduced, full) = (Outcomes(), Outcomes())
        let report = try exhaust { Self.program(threads, reduced)($0) }
        let traces = BruteForce.traces(Self.program(threads, full))
        #expect(report.blocked == 0, "\(threads)")
        #expect(report.verdicts[.trap] == nil, "\(threads)")
        #expect(reduced.all == full.all, "\(threads)")
        guard report.executions != traces.count else { return }
        let run = TracedReduction.traces(Self.program(threads, Outcomes()))
        let missing = traces.subtracting(run).sorted().joined(separator: "\n")
        let repeated = Dictionary(grouping: run) { $0 }.filter { $0.value.count > 1 }.keys.joined(
            separator: "\n")
        Issue.record(
            "\(threads): \(report.executions) executions, \(traces.count) traces\nmissing:\n\(missing)\nrepeated:\n\(repeated)"
        )
    }

    @Test(arguments: 0..<120)
    func `atomics and locks of two threads`(seed: Int) throws {
        let steps: [Step] = [
            .loadA, .loadB, .storeA, .storeB, .addA, .exchangeB, .compareA, .compareB, .locked,
            .nested, .tried,
        ]
        try check(Self.random(UInt64(seed), steps, threads: 2, length: 4))
    }

    @Test(arguments: 0..<60)
    func `atomics and locks of three threads`(seed: Int) throws {
        let steps: [Step] = [
            .loadA, .storeA, .storeB, .addA, .compareA, .compareB, .locked, .nested, .tried,
        ]
        try check(Self.random(UInt64(seed) + 1_000, steps, threads: 3, length: 2))
    }

    @Test(arguments: 0..<100)
    func `conditions and wait points`(seed: Int) throws {
        let steps: [Step] = [.wait, .signal, .broadcast, .locked, .storeA, .park, .wake, .tried]
        try check(Self.random(UInt64(seed) + 2_000, steps, threads: 3, length: 2))
    }

    @Test(arguments: 0..<100)
    func `store buffers and barriers`(seed: Int) throws {
        let steps: [Step] = [
            .asymmetricA, .asymmetricB, .barrier, .fence, .loadA, .loadB, .storeA, .addA,
        ]
        try check(Self.random(UInt64(seed) + 3_000, steps, threads: 2, length: 3))
    }

    @Test(arguments: 0..<100)
    func `reader-writer locks`(seed: Int) throws {
        let steps: [Step] = [
            .read, .write, .tryRead, .tryWrite, .modelledRead, .modelledWrite, .loadA,
        ]
        try check(Self.random(UInt64(seed) + 4_000, steps, threads: 3, length: 1))
        try check(Self.random(UInt64(seed) + 4_500, steps, threads: 2, length: 2))
    }

    @Test(arguments: 0..<100)
    func `timers`(seed: Int) throws {
        let steps: [Step] = [.sleep, .now, .timedWait, .signal, .storeA, .loadA]
        try check(Self.random(UInt64(seed) + 5_000, steps, threads: 2, length: 2))
        try check(Self.random(UInt64(seed) + 5_500, steps, threads: 3, length: 1))
    }
}
