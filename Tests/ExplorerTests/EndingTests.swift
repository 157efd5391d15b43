// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate
import Testing

@testable import Explorer

/// How executions end: nothing grows, nothing is carried over, limits are said.
@Suite(.serialized) struct EndingTests {
    final class State: Sendable {
        let x = Atomic(0)
        let seen = Atomic(0)
        let lock = Mutex(())
        let other = Mutex(())
        let condition = Condition()
        let payload = [Int](repeating: 7, count: 100)

        init() {
            x.label("x")
            lock.label("lock")
            other.label("other")
        }
    }

    /// Bytes that malloc has handed out and not got back.
    private func allocated() -> Int {
        Int(quiesce_allocated_bytes())
    }

    /// What so many executions leave behind.
    private func growth(_ executions: Int, stepLimit: Int = 100, _ body: @escaping (ExploredWorld) -> Void) throws -> Int {
        var options = ExplorationOptions(strategy: .random(executions: executions, seed: 1))
        options.stopsAtFirstFailure = false
        options.minimizes = false
        options.stepLimit = stepLimit
        options.drainLimit = 50
        let before = allocated()
        let report = try Exploration("growth", options: options, body).run()
        #expect(report.executions == executions)
        #expect(report.failed > executions / 10)
        return allocated() - before
    }

    private func check(stepLimit: Int = 100, _ body: @escaping (ExploredWorld) -> Void) throws {
        // The first run warms up what belongs to the process.
        _ = try growth(200, stepLimit: stepLimit, body)
        let few = try growth(200, stepLimit: stepLimit, body)
        let many = try growth(4_000, stepLimit: stepLimit, body)
        #expect(many - few < 64 * 1024, "\(few) bytes after 200 executions, \(many) after 4 000")
    }

    @Test func `executions that deadlock leave nothing behind`() throws {
        try check { world in
            let state = State()
            world.thread("ab") { state.lock.withLock { _ in state.other.withLock { _ in _ = state.payload.count } } }
            world.thread("ba") { state.other.withLock { _ in state.lock.withLock { _ in _ = state.payload.count } } }
        }
    }

    @Test func `executions that lose a wake-up leave nothing behind`() throws {
        try check { world in
            let state = State()
            world.thread("waiter") {
                state.lock.lock()
                while state.x.load(ordering: .relaxed) == 0 { state.condition.wait(state.lock) }
                state.lock.unlock()
            }
            world.thread("other") { _ = state.x.load(ordering: .relaxed) }
        }
    }

    @Test func `executions that trap leave nothing behind`() throws {
        try check { world in
            let state = State()
            for _ in 0..<2 {
                world.thread("adder") {
                    state.lock.lock()
                    let old = state.x.wrappingAdd(1, ordering: .relaxed).oldValue
                    if old == 1 { quiesce_test_trap() }
                    state.lock.unlock()
                }
            }
        }
    }

    @Test func `executions that are cut leave nothing behind`() throws {
        try check(stepLimit: 20) { world in
            let state = State()
            world.thread("looper") { while state.x.load(ordering: .relaxed) < 30 { state.x.wrappingAdd(1, ordering: .relaxed) } }
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
            for _ in 0..<3 { world.thread("adder") { for _ in 0..<3 { state.x.wrappingAdd(1, ordering: .relaxed) } } }
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
            for _ in 0..<2 { world.thread("adder") { for _ in 0..<3 { state.x.wrappingAdd(1, ordering: .relaxed) } } }
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
                    Clock.sleep(for: .seconds(1))
                    state.seen.store(state.x.load(ordering: .relaxed), ordering: .relaxed)
                }
                world.afterwards { outcomes.insert("slept, x is \(state.seen.load(ordering: .relaxed))") }
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
                            world.thread("adder") { for _ in 0..<4 { state.x.wrappingAdd(1, ordering: .relaxed) } }
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
                    if isOdd { state.x.store(1, ordering: .relaxed) } else { state.lock.withLock { _ in } }
                    state.x.store(2, ordering: .relaxed)
                }
                world.thread("other") { state.x.store(3, ordering: .relaxed) }
            }
        }
    }
}
