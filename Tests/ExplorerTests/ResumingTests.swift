// SPDX-License-Identifier: Apache-2.0

import Explorer
import Families
import FoundationEssentials
import Substrate
import Testing

/// An exploration that stops, and goes on from what it wrote, explores what one without a stop
/// does.
@Suite struct ResumingTests {
    private final class Cells: Sendable {
        let word = Atomic(0)
        let plain = Unsynchronized(0)
        let isReady = Atomic(false)
    }

    private typealias Make = (ExplorationOptions) throws -> Exploration

    private func options(_ strategy: ExplorationOptions.Strategy = .optimal) -> ExplorationOptions {
        var options = ExplorationOptions(strategy: strategy)
        options.stopsAtFirstFailure = false
        options.minimizes = false
        return options
    }

    private func family(_ name: String, _ size: String) throws -> Make {
        let family = try #require(Family.named(name))
        return { try family.exploration(try FamilySize(size), options: $0) }
    }

    /// Explores in parts of at most `limit` executions, each from what the last one wrote as JSON.
    private func explore(
        inPartsOf limit: Int, _ options: ExplorationOptions, _ make: Make
    ) throws -> (report: ExplorationReport, parts: Int) {
        var options = options
        options.executionLimit = limit
        var report = try make(options).run()
        var parts = 1
        while let checkpoint = report.checkpoint {
            let text = try JSONEncoder().encode(checkpoint)
            let read = try JSONDecoder().decode(Checkpoint.self, from: text)
            report = try make(options).run(from: read)
            parts += 1
        }
        return (report, parts)
    }

    /// Compares one exploration with those in parts.
    private func check(
        _ options: ExplorationOptions, parts: [Int] = [1, 2, 3, 7, 50],
        location: SourceLocation = #_sourceLocation, _ make: Make
    ) throws {
        let whole = try make(options).run()
        for limit in parts where whole.executions <= 60 * limit {
            let (report, count) = try explore(inPartsOf: limit, options, make)
            #expect(count >= (whole.executions + limit - 1) / limit, sourceLocation: location)
            #expect(report.executions == whole.executions, "\(limit)", sourceLocation: location)
            #expect(report.blocked == whole.blocked, sourceLocation: location)
            #expect(report.deadlocked == whole.deadlocked, sourceLocation: location)
            #expect(report.cut == whole.cut, sourceLocation: location)
            #expect(report.verdicts == whole.verdicts, sourceLocation: location)
            #expect(report.coverage == whole.coverage, sourceLocation: location)
            #expect(report.defect == nil, sourceLocation: location)
            #expect(report.result == whole.result, sourceLocation: location)
            #expect(
                report.counterexample?.token == whole.counterexample?.token,
                sourceLocation: location)
        }
    }

    @Test(arguments: FamilyTests.rows.filter { $0.executions > 1 && $0.executions < 2_000 })
    func `a family in parts has its count`(row: FamilyTests.Row) throws {
        try check(options(), family(row.family, row.size))
    }

    @Test(arguments: ["1x1", "2x1", "2x2"]) func `tasks and actors in parts`(size: String) throws {
        try check(options(), family("actor-visits", size))
    }

    @Test func `children of a task in parts`() throws {
        try check(options()) {
            Exploration("children", options: $0) { _ in
                let cells = Cells()
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<3 {
                        group.addTask { _ = cells.word.wrappingAdd(1, ordering: .relaxed) }
                    }
                }
                expect(cells.word.load(ordering: .relaxed) == 3)
            }
        }
    }

    @Test func `every interleaving in parts`() throws {
        try check(options(.depthFirst), family("philosophers", "3"))
        try check(options(.depthFirst), family("abba", "2"))
    }

    @Test func `bounded preemptions in parts`() throws {
        try check(options(.preemptions(1)), family("increments", "2x4"))
        try check(options(.preemptions(1)), family("lost-wakeup", "2"))
    }

    @Test func `random executions in parts`() throws {
        try check(options(.random(executions: 60, seed: 3)), family("philosophers", "3"))
        try check(options(.random(executions: 60, seed: 4)), family("increments", "2x4"))
    }

    @Test func `plain memory, storage and store buffers in parts`() throws {
        try check(options()) {
            Exploration("memory", options: $0) { world in
                let cells = Cells()
                world.thread("writer") {
                    cells.plain.store(1)
                    cells.word.store(1, ordering: .releasing)
                    cells.isReady.storeAsymmetric(true)
                    _ = cells.word.load(ordering: .acquiring)
                }
                world.thread("reader") {
                    if cells.word.load(ordering: .acquiring) == 1 { _ = cells.plain.load() }
                    membarrier()
                    _ = cells.isReady.load(ordering: .acquiring)
                }
            }
        }
    }

    @Test func `a checkpoint of another program is refused`() throws {
        func program(_ count: Int, _ options: ExplorationOptions) -> Exploration {
            Exploration("changing", options: options) { world in
                let cells = Cells()
                for index in 0..<count {
                    world.thread("t\(index)") {
                        _ = cells.word.wrappingAdd(1, ordering: .relaxed)
                        if count == 2 { _ = cells.word.load(ordering: .relaxed) }
                    }
                }
            }
        }
        for strategy in [ExplorationOptions.Strategy.optimal, .depthFirst] {
            var options = options(strategy)
            options.executionLimit = 2
            let checkpoint = try #require(try program(3, options).run().checkpoint)
            options.executionLimit = .max
            // Fewer threads; more steps; another name; other options.
            #expect(throws: Exploration.Failure.self) {
                try program(1, options).run(from: checkpoint)
            }
            #expect(throws: Exploration.Failure.self) {
                try program(2, options).run(from: checkpoint)
            }
            #expect(throws: Exploration.Failure.self) {
                try Exploration("other", options: options) { _ in }.run(from: checkpoint)
            }
            options.reusesAddresses = true
            #expect(throws: Exploration.Failure.self) {
                try program(3, options).run(from: checkpoint)
            }
        }
    }

    @Test func `only all interleavings are called verified`() throws {
        let make = try family("increments", "2x4")
        #expect(try make(options()).run().result == "verified")
        #expect(try make(options(.depthFirst)).run().result == "verified")
        var limited = options()
        limited.executionLimit = 3
        #expect(try make(limited).run().result == "bounded")
        #expect(try make(options(.preemptions(1))).run().result == "bounded")
        #expect(try make(options(.random(executions: 5, seed: 1))).run().result == "sampled")
        #expect(try family("abba", "2")(options()).run().result == "deadlock")
    }
}
