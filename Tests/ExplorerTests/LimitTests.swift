// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Synchronization
import TestSupport
import Testing

private final class Flag: Sendable {
    let value = Substrate.Atomic(0)
    var isDown: Bool { value.load(ordering: .acquiring) == 0 }
    func raise() { value.store(1, ordering: .releasing) }
}

private final class Plain: Sendable {
    let value = Unsynchronized(0)
}

/// What tasks did, in order.
private final class Deeds: Sendable {
    private let text = Substrate.Mutex("")
    func note(_ deed: String) { text.withLock { $0 += deed } }
    var all: String { text.withLock { $0 } }
}

/// Programs that wait in loops, and programs that have much of something.
@Suite struct LimitTests {
    private func run(
        _ options: ExplorationOptions = ExplorationOptions(), _ program: @escaping AsyncProgram
    ) async throws -> ExplorationReport {
        var options = options
        options.minimizes = false
        let settled = options
        return try await Task.detached {
            try Exploration("limits", options: settled, program).run()
        }
        .value
    }

    private static func all(_ limit: Int = 5) -> ExplorationOptions {
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        options.executionLimit = limit
        return options
    }

    // MARK: Spinning

    @Test func `tasks that spin for what nobody does`() async throws {
        for count in 1...3 {
            let report = try await run { _ in
                let flag = Flag()
                await withTaskGroup { group in
                    for _ in 0..<count {
                        group.addTask { spin { flag.isDown } }
                    }
                }
            }
            #expect(report.counterexample?.verdict.kind == .lostWakeUp, "\(count) \(report)")
        }
    }

    @Test func `a task and a thread that spin for what nobody does`() async throws {
        let report = try await run { world in
            let flag = Flag()
            world.thread("thread") { spin { flag.isDown } }
            async let child: Void = { spin { flag.isDown } }()
            await child
        }
        #expect(report.counterexample?.verdict.kind == .lostWakeUp, "\(report)")
    }

    @Test func `tasks that spin go on when a third one lets them`() async throws {
        let report = try await run(Self.all(.max)) { _ in
            let flag = Flag()
            await withTaskGroup { group in
                for _ in 0..<2 {
                    group.addTask { spin { flag.isDown } }
                }
                group.addTask { flag.raise() }
            }
        }
        #expect(report.failed == 0 && report.coverage == .all, "\(report)")
    }

    @Test func `a task spins until it is cancelled`() async throws {
        for reduction in [ExplorationOptions.Reduction.sound, .declared] {
            var options = Self.all(.max)
            options.reduction = reduction
            let report = try await run(options) { _ in
                let tasks = (0..<2).map { _ in Task { spin { !Task.isCancelled } } }
                for task in tasks { task.cancel() }
                for task in tasks { await task.value }
            }
            #expect(report.failed == 0, "\(report)")
        }
    }

    private static func spinOver(_ count: Int, isTask: Bool) -> AsyncProgram {
        { world in
            let flags = (0..<count).map { _ in Flag() }
            let waits: @Sendable () -> Void = {
                spin {
                    var found = 0
                    for flag in flags { found += flag.isDown ? 0 : 1 }
                    return found == 0
                }
            }
            if isTask {
                async let child: Void = waits()
                flags[count - 1].raise()
                await child
            } else {
                world.thread("spinner", waits)
                await Task { await Task.yield() }.value
                flags[count - 1].raise()
            }
        }
    }

    @Test func `a condition reads eight atomics`() async throws {
        for isTask in [true, false] {
            let report = try await run(Self.all(2_000), Self.spinOver(8, isTask: isTask))
            #expect(report.failed == 0, "\(isTask) \(report)")
            let more = try await run(Self.all(1), Self.spinOver(9, isTask: isTask))
            #expect(more.counterexample?.verdict.kind == .explorerLimit, "\(isTask) \(more)")
        }
    }

    // MARK: Many

    @Test func `a loop that sleeps three hundred times`() async throws {
        for time in [ExplorationOptions.Time.any, .discrete] {
            var options = Self.all()
            options.time = time
            let report = try await run(options) { _ in
                let flag = Flag()
                async let other: Void = flag.raise()
                for _ in 0..<300 { try await Task.sleep(for: .milliseconds(1)) }
                await other
            }
            #expect(report.failed == 0, "\(report)")
        }
    }

    @Test func `three hundred tasks one after the other`() async throws {
        for reduction in [ExplorationOptions.Reduction.sound, .declared] {
            var options = Self.all()
            options.reduction = reduction
            let report = try await run(options) { _ in
                let flag = Flag()
                for _ in 0..<300 { await Task { flag.raise() }.value }
            }
            #expect(report.failed == 0, "\(report)")
        }
    }

    @Test func `three hundred children beside each other`() async throws {
        let report = try await run(Self.all(2)) { _ in
            await withTaskGroup { group in for _ in 0..<300 { group.addTask {} } }
        }
        #expect(report.failed == 0, "\(report)")
    }

    @Test func `a sleep that is begun again three hundred times`() async throws {
        let report = try await run(Self.all()) { _ in
            var pending: Task<Void, Never>?
            for _ in 0..<300 {
                pending?.cancel()
                pending = Task { try? await Task.sleep(for: .seconds(1)) }
                await Task.yield()
            }
            await pending?.value
        }
        #expect(report.failed == 0, "\(report)")
    }

    /// Rows of ended tasks that are used again change nothing of what is found.
    @Test func `numbers that are used again`() async throws {
        let slept: @Sendable (Deeds) async -> Void = { deeds in
            for _ in 0..<2 {
                let sleeper = Task { (try? await Task.sleep(for: .seconds(1))) == nil }
                sleeper.cancel()
                deeds.note(await sleeper.value ? "c" : "s")
            }
        }
        let started: @Sendable (Deeds) async -> Void = { deeds in
            async let other: Void = deeds.note("a")
            for _ in 0..<2 { await Task { deeds.note("b") }.value }
            await other
        }
        for program in [slept, started] { try await expectSame(program) }
    }

    /// A number that is used again orders what the two tasks did.
    @Test func `a task that nobody has awaited keeps its number`() async throws {
        var races: [Int?] = []
        for kept in [32, 0] {
            var options = Self.all(.max)
            options.keptTasks = kept
            let report = try await run(options) { _ in
                let plain = Plain()
                for number in 0..<2 {
                    Task { plain.value.store(number) }
                    await Task.yield()
                }
            }
            races.append(report.verdicts[.race])
        }
        #expect(races[0] != nil && races[0] == races[1], "\(races)")
    }

    private func expectSame(_ body: @escaping @Sendable (Deeds) async -> Void) async throws {
        let program: @Sendable (@escaping @Sendable (String) -> Void) -> AsyncProgram = { note in
            { _ in
                let deeds = Deeds()
                await body(deeds)
                note(deeds.all)
            }
        }
        var found: [(Set<String>, Int)] = []
        for (strategy, kept) in [
            (ExplorationOptions.Strategy.optimal, 32), (.optimal, 0),
            (.random(executions: 2_000, seed: 7), 0),
        ] {
            let outcomes = Synchronization.Mutex<Set<String>>([])
            var options = Self.all(30_000)
            options.strategy = strategy
            options.keptTasks = kept
            let report = try await run(
                options, program { outcome in outcomes.withLock { _ = $0.insert(outcome) } })
            #expect(report.failed == 0 && report.blocked == 0, "\(report)")
            found.append((outcomes.withLock { $0 }, report.executions))
        }
        #expect(found[0].0 == found[1].0 && found[0].1 == found[1].1, "\(found)")
        #expect(found[2].0.isSubset(of: found[0].0), "\(found)")
    }

    @Test func `more threads than there may be`() async throws {
        var options = Self.all(2)
        options.threadLimit = 20
        let threads = try await run(options) { world in
            for number in 0..<30 { world.thread("\(number)") {} }
        }
        #expect(threads.verdicts[.explorerLimit] != nil, "\(threads)")
        let tasks = try await run(options) { _ in
            await withTaskGroup { group in for _ in 0..<30 { group.addTask {} } }
        }
        #expect(tasks.verdicts[.explorerLimit] != nil, "\(tasks)")
        let many = try await run(options) { _ in
            for _ in 0..<5_000 { Task { try await Task.sleep(for: .seconds(1)) } }
        }
        #expect(many.verdicts[.explorerLimit] != nil, "\(many)")
        // What comes after is explored as ever.
        let next = try await run(options) { _ in await Task { await Task.yield() }.value }
        #expect(next.failed == 0, "\(next)")
    }

    @Test(arguments: [false, true])
    func `the system refuses memory for stacks`(_ hasTasks: Bool) async {
        // In a process of its own: no other test gets memory meanwhile either.
        await #expect(processExitsWith: .success) { [hasTasks] in
            let tests = LimitTests()
            guard try await tests.exploreMany(4, hasTasks).failed == 0 else {
                fatalError("four fail before")
            }
            limitMemory(toGrowBy: 24 << 20)
            let many = try await tests.exploreMany(150, hasTasks)
            guard many.counterexample?.verdict.sentence.contains("refuses memory") == true,
                Set(many.verdicts.keys) == [.explorerLimit]
            else { fatalError("\(many)") }
            guard try await tests.exploreMany(4, hasTasks).failed == 0 else {
                fatalError("four fail after")
            }
            // Not even the main thread can start.
            limitMemory(toGrowBy: 1 << 20)
            for strategy in [ExplorationOptions.Strategy.optimal, .random(executions: 3, seed: 1)] {
                let none = try await tests.exploreMany(4, hasTasks, strategy)
                guard Set(none.verdicts.keys) == [.explorerLimit] else { fatalError("\(none)") }
            }
        }
    }

    /// Picks steps at random, so that many tasks are in the middle of their jobs at once.
    private func exploreMany(
        _ count: Int, _ hasTasks: Bool,
        _ strategy: ExplorationOptions.Strategy = .random(executions: 3, seed: 1)
    ) async throws -> ExplorationReport {
        var options = Self.all(3)
        options.strategy = strategy
        return try await run(options) { world in
            if hasTasks {
                let deeds = Deeds()
                await withTaskGroup { group in
                    for _ in 0..<count {
                        group.addTask { for _ in 0..<30 { deeds.note("a") } }
                    }
                }
            } else {
                for number in 0..<count { world.thread("\(number)") {} }
            }
        }
    }

    @Test func `a hundred threads that wait on one condition`() async throws {
        final class Barrier: Sendable {
            let lock = Substrate.Mutex(())
            let isOpen = Substrate.Atomic(false)
            let condition = Condition()
            let point = WaitPoint()
        }
        let waits: [@Sendable (Barrier) -> Void] = [
            { barrier in
                barrier.lock.lock()
                while !barrier.isOpen.load(ordering: .relaxed) {
                    barrier.condition.wait(barrier.lock)
                }
                barrier.lock.unlock()
            },
            { barrier in barrier.point.wait(while: 0) },
        ]
        for wait in waits {
            let report = try await run(Self.all(2)) { world in
                let barrier = Barrier()
                for number in 0..<100 { world.thread("\(number)") { wait(barrier) } }
                barrier.isOpen.store(true, ordering: .releasing)
                barrier.condition.broadcast()
                barrier.point.word.store(1, ordering: .releasing)
                barrier.point.wake(100)
            }
            let kinds = Set(report.verdicts.keys)
            #expect(kinds.isSubset(of: [.explorerLimit]), "\(report)")
        }
    }
}
