// SPDX-License-Identifier: Apache-2.0

import Explorer
import Foundation
import Testing

/// The programs in which other threads take part, over and over: nothing may crash, and nothing
/// may be accused. `QUIESCE_FOREIGN_RUNS` says how often; a thousand is a good night's work for a
/// sanitizer too.
@Suite(.serialized) struct ForeignRepetitionTests {
    private static let runs =
        ProcessInfo.processInfo.environment["QUIESCE_FOREIGN_RUNS"].flatMap(Int.init) ?? 5

    @Test(arguments: ForeignProgram.all)
    func `other threads take part, over and over`(_ program: ForeignProgram) async throws {
        var options = ExplorationOptions()
        options.executionLimit = 3
        for _ in 0..<Self.runs {
            let settled = options
            let report = try await explore(program.name, options: settled, program.body)
            #expect(report.coverage != .all)
        }
    }

    @Test func `explorations in parallel do not mix their tasks up`() async throws {
        var options = ExplorationOptions()
        options.executionLimit = 3
        let settled = options
        for _ in 0..<Self.runs {
            try await withThrowingTaskGroup { group in
                for program in ForeignProgram.all.prefix(8) {
                    group.addTask {
                        try await explore(program.name, options: settled, program.body)
                    }
                }
                for try await report in group { #expect(report.coverage != .all) }
            }
        }
    }
}
