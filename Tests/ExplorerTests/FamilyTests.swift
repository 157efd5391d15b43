// SPDX-License-Identifier: Apache-2.0

import Explorer
import Families
import Testing

/// The families' counts, which two other tools and a brute-force count agree on.
@Suite struct FamilyTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let family: String
        let size: String
        let executions: Int
        var deadlocked = 0
        var isSmall = true
        var testDescription: String { "\(family) \(size)" }
    }

    static let rows: [Row] = [
        Row(family: "lastzero", size: "5", executions: 64, isSmall: false),
        Row(family: "lastzero", size: "3", executions: 12),
        Row(family: "lastzero", size: "10", executions: 3328, isSmall: false),
        Row(family: "readers", size: "8", executions: 256, isSmall: false),
        Row(family: "readers", size: "3", executions: 8),
        Row(family: "indexer", size: "11", executions: 1, isSmall: false),
        Row(family: "indexer", size: "12", executions: 8, isSmall: false),
        Row(family: "filesystem", size: "14", executions: 2, isSmall: false),
        Row(family: "filesystem", size: "16", executions: 8, isSmall: false),
        Row(family: "increments", size: "2x4", executions: 70),
        Row(family: "increments", size: "3x3", executions: 1680),
        Row(family: "increments-mutex", size: "2x4", executions: 140),
        Row(family: "mutex-counter", size: "3x1", executions: 6),
        Row(family: "mutex-counter", size: "2x3", executions: 20),
        Row(family: "philosophers-ordered", size: "3", executions: 6),
        Row(family: "philosophers-ordered", size: "4", executions: 14, isSmall: false),
        Row(family: "philosophers", size: "3", executions: 7, deadlocked: 1),
        Row(family: "philosophers", size: "4", executions: 15, deadlocked: 1, isSmall: false),
        Row(family: "abba", size: "2", executions: 3, deadlocked: 1),
        Row(family: "account", size: "2", executions: 2),
        Row(family: "account", size: "3", executions: 6, isSmall: false),
        Row(family: "account-unlocked", size: "2", executions: 7),
        Row(family: "refcount", size: "1", executions: 4),
        Row(family: "refcount", size: "2", executions: 22),
        Row(family: "treiber", size: "1", executions: 2),
        Row(family: "msqueue", size: "1,1", executions: 4),
        Row(family: "msqueue", size: "2,0", executions: 22),
        Row(family: "bounded-buffer", size: "1,1", executions: 2),
        Row(family: "bounded-buffer", size: "2,1", executions: 8),
        Row(family: "bounded-buffer-one-condition", size: "2,2", executions: 80, deadlocked: 8),
        Row(family: "lost-wakeup", size: "2", executions: 3, deadlocked: 1),
    ]

    private func report(_ row: Row, _ strategy: ExplorationOptions.Strategy = .optimal) throws
        -> ExplorationReport
    {
        var options = ExplorationOptions(strategy: strategy)
        options.stopsAtFirstFailure = false
        options.minimizes = false
        let family = try #require(Family.named(row.family))
        return try family.exploration(try FamilySize(row.size), options: options).run()
    }

    @Test(arguments: rows)
    func `the optimal strategy runs each trace once and blocks none`(row: Row) throws {
        let report = try report(row)
        #expect(report.executions == row.executions)
        #expect(report.deadlocked == row.deadlocked)
        #expect(report.blocked == 0)
        #expect(report.coverage == .all)
        #expect(report.abandonedThreads == 0)
    }

    @Test(arguments: rows.filter(\.isSmall))
    func `a brute-force count agrees`(row: Row) throws {
        let family = try #require(Family.named(row.family))
        let program = try #require(family.program)
        let size = try FamilySize(row.size)
        #expect(BruteForce.count(program(size)) == row.executions)
    }

    @Test(arguments: rows.filter(\.isSmall))
    func `depth-first search finds deadlocks where the optimal strategy does`(row: Row) throws {
        let report = try report(row, .depthFirst)
        #expect(report.executions >= row.executions)
        #expect((report.deadlocked > 0) == (row.deadlocked > 0))
        #expect(report.coverage == .all)
    }

    @Test(arguments: ["5", "2x4", "2,1"])
    func `sizes are read as they are written`(text: String) throws {
        #expect(try FamilySize(text).description == text)
    }

    @Test(arguments: ["abc", "", "x", "2x", "2x3x4", "-1", "0", "99999999999999999999", "2 ,1"])
    func `what is not a size is refused`(text: String) {
        #expect(throws: FamilySize.Failure.malformed(text)) { try FamilySize(text) }
    }
}
