// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate
import Testing

@testable import Explorer

/// How executions end: nothing grows, nothing is carried over, limits are said.
@Suite struct EndingTests {
    final class State: Sendable {
        let x = Atomic(0)
        let seen = Atomic(0)
        let lock = Mutex(())
        let other = Mutex(())
        let condition = Condition()

        init() {
            x.label("x")
            lock.label("lock")
            other.label("other")
        }
    }

    /// Counts the objects of a program that live.
    final class Life: @unchecked Sendable {
        // Unchecked: changed by fibers of one thread.
        private(set) var alive = 0
        private(set) var made = 0

        func make() -> Token {
            alive += 1
            made += 1
            return Token(self)
        }

        final class Token: Sendable {
            private let life: Life
            init(_ life: Life) { self.life = life }
            deinit { life.alive -= 1 }
        }
    }

    /// What the threads of a program share, without references that an abandoned frame could keep.
    struct Shared: ~Copyable, Sendable {
        let x = Atomic(0)
        let lock = Mutex(())
        let other = Mutex(())
        let condition = Condition()
        let token: Life.Token
    }

    /// Every execution's objects are gone, whichever way it ended.
    private func check(
        _ kind: Verdict.Kind, stepLimit: Int = 100,
        _ body: @escaping (ExploredWorld, Storage<Shared>) -> Void
    ) throws {
        let life = Life()
        var options = ExplorationOptions(strategy: .random(executions: 500, seed: 1))
        options.stopsAtFirstFailure = false
        options.minimizes = false
        options.stepLimit = stepLimit
        let report = try Exploration("growth", options: options) { world in
            let shared = Storage.allocate(Shared(token: life.make()), name: "shared")
            world.afterwards { unsafe shared.free() }
            body(world, shared)
        }.run()
        #expect(report.executions == 500)
        #expect(report.verdicts[kind] ?? 0 > 50)
        #expect(life.made > 500 && life.alive == 0)
    }

    @Test func `executions that deadlock leave nothing behind`() throws {
        try check(.deadlock) { world, shared in
            world.thread("ab") {
                shared.pointee.lock.withLock { _ in shared.pointee.other.withLock { _ in } }
            }
            world.thread("ba") {
                shared.pointee.other.withLock { _ in shared.pointee.lock.withLock { _ in } }
            }
        }
    }

    @Test func `executions that lose a wake-up leave nothing behind`() throws {
        try check(.lostWakeUp) { world, shared in
            world.thread("waiter") {
                shared.pointee.lock.lock()
                while shared.pointee.x.load(ordering: .relaxed) == 0 {
                    shared.pointee.condition.wait(shared.pointee.lock)
                }
                shared.pointee.lock.unlock()
            }
        }
    }

    /// How the end of an object may wait for a thread.
    enum EndingWait: CaseIterable, Sendable {
        case spins, sleeps

        func callAsFunction(_ shared: Storage<Shared>) {
            switch self {
            case .spins: while shared.pointee.x.load(ordering: .acquiring) == 0 {}
            case .sleeps:
                shared.pointee.lock.lock()
                while shared.pointee.x.load(ordering: .relaxed) == 0 {
                    shared.pointee.condition.wait(shared.pointee.lock)
                }
                shared.pointee.lock.unlock()
            }
        }
    }

    /// The thread never comes to its end, and what it captured waits for that at its own.
    @Test(arguments: EndingWait.allCases, [false, true])
    func `an execution ends although its objects wait for a thread that does not`(
        _ wait: EndingWait, traps: Bool
    ) throws {
        final class Ends: @unchecked Sendable {
            // Unchecked: written by fibers of one thread.
            var count = 0
        }
        final class Waiting: Sendable {
            private let wait: EndingWait
            private let shared: Storage<Shared>
            private let ends: Ends

            init(_ wait: EndingWait, _ shared: Storage<Shared>, _ ends: Ends) {
                self.wait = wait
                self.shared = shared
                self.ends = ends
            }

            func touch() { shared.pointee.x.store(0, ordering: .relaxed) }

            deinit {
                ends.count += 1
                wait(shared)
            }
        }
        let (life, ends) = (Life(), Ends())
        var options = ExplorationOptions(strategy: .random(executions: 20, seed: 1))
        options.stopsAtFirstFailure = false
        options.minimizes = false
        // As many as the program has.
        options.threadLimit = 3
        let report = try Exploration("waits at its end", options: options) { world in
            let shared = Storage.allocate(Shared(token: life.make()), name: "shared")
            for _ in 0..<2 {
                let waiting = Waiting(wait, shared, ends)
                world.thread("stuck") {
                    waiting.touch()
                    if traps { quiesce_test_trap() }
                    shared.pointee.other.lock()
                    shared.pointee.lock.lock()
                    while shared.pointee.x.load(ordering: .relaxed) == 0 {
                        shared.pointee.condition.wait(shared.pointee.lock)
                    }
                    shared.pointee.lock.unlock()
                    shared.pointee.other.unlock()
                    shared.pointee.x.store(1, ordering: .releasing)
                }
            }
        }.run()
        #expect(report.failed == 20 && report.verdicts[.explorerLimit] == nil, "\(report)")
        #expect(report.abandonedThreads > 0)
        #expect(ends.count >= 2 && life.alive == 0)
    }

    /// What the last reference to an object resumes must not go on: its memory is gone.
    @Test func `a task that the end of an execution resumes is not run`() throws {
        final class Resuming: Sendable {
            let waiting = Mutex<CheckedContinuation<Void, Never>?>(nil)
            deinit { waiting.withLock { $0.take() }?.resume() }
        }
        let ran = Atomic(0)
        let life = Life()
        var options = ExplorationOptions()
        options.executionLimit = 10
        options.stepLimit = 200
        let report = try Exploration("resumed at the end", options: options) { world async in
            let shared = Storage.allocate(Shared(token: life.make()), name: "shared")
            let resuming = Storage.allocate(Resuming(), name: "resuming")
            let stuck = Task {
                while shared.pointee.x.load(ordering: .acquiring) == 0 { await Task.yield() }
            }
            await withCheckedContinuation { continuation in
                resuming.pointee.waiting.withLock { $0 = continuation }
            }
            ran.wrappingAdd(1, ordering: .relaxed)
            shared.pointee.x.store(1, ordering: .releasing)
            await stuck.value
        }.run()
        #expect(report.failed > 0 && report.abandonedThreads > 0, "\(report)")
        #expect(ran.load(ordering: .relaxed) == 0)
    }

    @Test func `executions that trap leave nothing behind`() throws {
        try check(.trap) { world, shared in
            for _ in 0..<2 {
                world.thread("adder") {
                    shared.pointee.lock.lock()
                    if shared.pointee.x.wrappingAdd(1, ordering: .relaxed).oldValue == 1 {
                        quiesce_test_trap()
                    }
                    shared.pointee.lock.unlock()
                }
            }
        }
    }

    @Test func `executions that are cut leave nothing behind`() throws {
        try check(.stepLimit, stepLimit: 20) { world, shared in
            world.thread("long") {
                for _ in 0..<50 { shared.pointee.x.wrappingAdd(1, ordering: .relaxed) }
            }
        }
    }

    @Test func `an execution that is cut runs on to its end`() throws {
        final class Ended: @unchecked Sendable {
            // Unchecked: written by fibers of one thread.
            var count = 0
        }
        let ended = Ended()
        var options = ExplorationOptions()
        options.stepLimit = 10
        options.minimizes = false
        let report = try Exploration("cut", options: options) { world in
            let state = State()
            world.thread("long") {
                for _ in 0..<50 { state.x.wrappingAdd(1, ordering: .relaxed) }
                ended.count += 1
            }
        }.run()
        #expect(report.verdicts == [.stepLimit: 1])
        #expect(report.abandonedThreads == 0)
        #expect(ended.count > 0)
    }

    @Test func `what was waiting in a deadlock unwinds`() throws {
        final class Unwound: @unchecked Sendable {
            // Unchecked: written by fibers of one thread.
            var count = 0
        }
        let unwound = Unwound()
        let report = try exhaust { world in
            let state = State()
            world.thread("stuck") {
                defer { unwound.count += 1 }
                state.lock.withLock { _ in state.lock.withLock { _ in } }
            }
        }
        #expect(report.deadlocked == 1 && report.abandonedThreads == 0)
        #expect(unwound.count == 3, "in the warm-up run, explored, and recorded")
    }

    @Test func `a limit on executions is reported as coverage`() throws {
        var options = ExplorationOptions()
        options.executionLimit = 5
        let report = try Exploration("limit", options: options) { world in
            let state = State()
            for _ in 0..<3 {
                world.thread("adder") {
                    for _ in 0..<3 { state.x.wrappingAdd(1, ordering: .relaxed) }
                }
            }
        }.run()
        #expect(report.executions == 5)
        #expect(report.coverage == .bounded(by: "5 executions"))
    }

    @Test func `a limit on seconds is reported as coverage`() throws {
        var options = ExplorationOptions()
        options.secondsLimit = 0
        let report = try Exploration("limit", options: options) { world in
            let state = State()
            for _ in 0..<2 { world.thread("adder") { state.x.wrappingAdd(1, ordering: .relaxed) } }
        }.run()
        #expect(report.coverage == .bounded(by: "0.0 seconds"))
    }

    @Test func `random and bounded exploration say so`() throws {
        func body(_ world: ExploredWorld) {
            let state = State()
            for _ in 0..<2 {
                world.thread("adder") {
                    for _ in 0..<3 { state.x.wrappingAdd(1, ordering: .relaxed) }
                }
            }
        }
        #expect(try exhaust(.random(executions: 7, seed: 3), body).coverage == .sampled(7))
        #expect(try exhaust(.preemptions(1), body).coverage == .bounded(by: "1 preemption"))
        #expect(try exhaust(.preemptions(9), body).coverage == .all)
        #expect(try exhaust(.depthFirst, body).coverage == .all)
        #expect(try exhaust(.optimal, time: .discrete, body).coverage == .bounded(by: "time"))
    }

    @Test func `time that is discrete passes only when nothing else can run`() throws {
        func orders(_ time: ExplorationOptions.Time) throws -> Set<String> {
            let outcomes = Outcomes()
            _ = try exhaust(time: time) { world in
                let state = State()
                world.thread("sleeper") {
                    WorldClock.sleep(for: .seconds(1))
                    state.seen.store(state.x.load(ordering: .relaxed), ordering: .relaxed)
                }
                world.afterwards {
                    outcomes.insert("slept, x is \(state.seen.load(ordering: .relaxed))")
                }
                world.thread("worker") { state.x.store(1, ordering: .relaxed) }
            }
            return outcomes.all
        }
        #expect(try orders(.any) == ["slept, x is 0", "slept, x is 1"])
        #expect(try orders(.discrete) == ["slept, x is 1"])
    }

    @Test func `explorations run beside each other`() async throws {
        let counts = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    try exhaust { world in
                        let state = State()
                        for _ in 0..<2 {
                            world.thread("adder") {
                                for _ in 0..<4 { state.x.wrappingAdd(1, ordering: .relaxed) }
                            }
                        }
                    }.executions
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(counts == Array(repeating: 70, count: 8))
    }

    @Test func `an exploration inside an exploration is refused`() throws {
        let outcomes = Outcomes()
        _ = try exhaust { _ in
            do { _ = try Exploration("inner") { _ in }.run() } catch { outcomes.insert("\(error)") }
        }
        #expect(outcomes.all == ["an exploration cannot be started from inside another one"])
    }

    /// The schedule that is repeated has a step of a thread that has ended.
    @Test func `a thread that ends earlier than recorded is an error that names it`() throws {
        final class Memory: @unchecked Sendable {
            // Unchecked: used by fibers of one thread.
            var runs = 0
        }
        let memory = Memory()
        #expect {
            try exhaust { world in
                let (state, other) = (State(), State())
                memory.runs += 1
                let isShort = memory.runs > 2
                world.thread("early") {
                    state.x.store(1, ordering: .relaxed)
                    if isShort { return }
                    other.x.store(1, ordering: .relaxed)
                    state.x.store(2, ordering: .relaxed)
                }
                world.thread("other") { state.x.store(3, ordering: .relaxed) }
            }
        } throws: { "\($0)".contains("its end") }
    }

    @Test func `a program that is not deterministic is an error that names the step`() throws {
        final class Memory: @unchecked Sendable {
            // Unchecked: used by fibers of one thread.
            var runs = 0
        }
        let memory = Memory()
        #expect(throws: Exploration.Failure.self) {
            try exhaust { world in
                let state = State()
                memory.runs += 1
                let isOdd = memory.runs % 2 == 1
                world.thread("fickle") {
                    if isOdd {
                        state.x.store(1, ordering: .relaxed)
                    } else {
                        state.lock.withLock { _ in }
                    }
                    state.x.store(2, ordering: .relaxed)
                }
                world.thread("other") { state.x.store(3, ordering: .relaxed) }
            }
        }
    }
}
