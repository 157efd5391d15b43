// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Substrate
import Testing

/// Limits of explored tests: their own, and those of the suites around them.
@Suite(.serialized, .explorationLimit(executions: 5)) struct LimitTests {
    private static let runs = Counter()

    /// Counts executions; lives beyond them, so it is no object of theirs.
    private final class Counter: @unchecked Sendable {
        // Unchecked: executions of one test run one after another, on one thread.
        var count = 0
    }

    private final class Cell: Sendable {
        let value = Atomic(0)
        func add() { _ = value.wrappingAdd(1, ordering: .relaxed) }
    }

    private func work() async {
        let cell = Cell()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 { group.addTask { cell.add() } }
        }
    }

    /// Explored are the warm-up, at most `limit` executions, and repetitions that learn.
    struct Runs: TestTrait, TestScoping {
        let limit: Int

        func provideScope(
            for test: Test, testCase: Test.Case?,
            performing function: @Sendable @concurrent () async throws -> Void
        ) async throws {
            LimitTests.runs.count = 0
            try await function()
            #expect(LimitTests.runs.count <= limit + 6)
        }
    }

    @Test(Runs(limit: 5), .everyInterleaving) func `a suite bounds its tests`() async {
        LimitTests.runs.count += 1
        await work()
    }

    @Test(Runs(limit: 3), .everyInterleaving.executions(3)) func `the smaller limit counts`() async
    {
        LimitTests.runs.count += 1
        await work()
    }

    @Test(Runs(limit: 5), .everyInterleaving.executions(9)) func `a larger limit does not`() async {
        LimitTests.runs.count += 1
        await work()
    }

    @Test(Runs(limit: 1), .everyInterleaving.seconds(1e-9)) func `seconds bound too`() async {
        LimitTests.runs.count += 1
        await work()
    }
}
