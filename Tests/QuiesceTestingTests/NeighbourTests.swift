// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceTesting
import Substrate
import Testing

/// Explored tests and ordinary ones in one process.
@Suite struct NeighbourTests {
    @Test(.everyInterleaving, arguments: 0..<100) func `a hundred explored tests in parallel`(
        _ number: Int
    ) async {
        let counter = Counter()
        await withTaskGroup { group in
            group.addTask { for _ in 0..<number % 3 { await counter.increment() } }
            group.addTask { await counter.increment() }
        }
        #expect(await counter.get() == number % 3 + 1)
    }

    @Test(arguments: 0..<100) func `an ordinary test is not captured`(_ number: Int) async throws {
        #expect(!Exploration.isRunningHere)
        let counter = Counter()
        await withTaskGroup { group in
            for _ in 0..<10 {
                group.addTask {
                    #expect(!Exploration.isRunningHere)
                    await counter.increment()
                    await Task.yield()
                }
            }
        }
        #expect(await counter.get() == 10)
        try await Task.sleep(for: .milliseconds(1))
        #expect(!Exploration.isRunningHere)
        #expect(await Task.detached { 7 }.value == 7)
        #expect(await Self.onMain() == 1)
    }

    @MainActor private static func onMain() -> Int {
        MainActor.assertIsolated()
        return 1
    }
}
