// SPDX-License-Identifier: Apache-2.0

import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// Real threads against each other; also meant for `swift test --sanitize=thread --filter Stress`.
@Suite(.serialized) struct ScopeStress {
    private final class Tally: Sendable {
        private let number = Atomic(0)

        func add(_ amount: Int) { number.wrappingAdd(amount, ordering: .relaxed) }
        var total: Int { number.load(ordering: .relaxed) }
    }

    /// Memory that a value stands for: mapped while it is 1. Plain, so that a sanitizer sees a use
    /// that nothing orders before its end.
    private final class Region: @unchecked Sendable {
        var isMapped = 1
    }

    /// What the threads of one round share.
    private struct Round: Sendable {
        let scope: BindingScope
        let values: [Revocable<Region>]
        let last: ResourceID
    }

    /// The round that runs. The threads are the same for all rounds: a sanitizer cannot tell
    /// threads apart to which the system has given the same number, one after the other.
    private final class Stage: Sendable {
        private let round = Mutex<Round?>(nil)
        private let start = WaitPoint.Shared()
        private let ends = [WaitPoint.Shared(), WaitPoint.Shared()]

        /// Runs `body`, while the two threads do their part in round `number`.
        func run(_ number: Int, _ round: Round, _ body: () throws -> Void) rethrows {
            self.round.withLock { $0 = round }
            start.advance(to: UInt32(number) + 1)
            try body()
            for end in ends { end.wait(for: UInt32(number) + 1) }
        }

        /// What thread `index` does in round `number`.
        func take(_ number: Int, _ index: Int, _ body: (Round) -> Void) {
            start.wait(for: UInt32(number) + 1)
            if let round = round.withLock({ $0 }) { body(round) }
            ends[index].advance(to: UInt32(number) + 1)
        }
    }

    /// A user of values and a thread that releases by hand and adds, against the end of a scope:
    /// what is acquired is given back once, after its last user, and nothing is left.
    @Test func `a scope gives all back once, after its users`() throws {
        let rounds = 20_000
        let (mapped, wrong) = (Tally(), Tally())
        let stage = Stage()
        let user = try WorldThread.spawn(name: "user") {
            for number in 0..<rounds {
                stage.take(number, 0) { round in
                    for value in round.values {
                        value.withValue { region in
                            if region.isMapped != 1 { wrong.add(1) }
                        }
                    }
                }
            }
        }
        let driver = try WorldThread.spawn(name: "driver") {
            for number in 0..<rounds {
                stage.take(number, 1) { round in
                    _ = try? round.scope.release(round.values[number % 3])
                    _ = try? round.scope.release(round.last)
                    mapped.add(1)
                    _ = try? round.scope.add("late") { mapped.add(-1) }
                }
            }
        }
        for number in 0..<rounds {
            let scope = BindingScope(name: "binding")
            var values: [Revocable<Region>] = []
            for _ in 0..<3 {
                mapped.add(1)
                values.append(
                    try scope.acquire("region", { Region() }) { region in
                        region.isMapped = 0
                        mapped.add(-1)
                    })
            }
            let first = try scope.add("first") {}
            let last = try scope.add("last") {}
            try scope.release(first, before: last)
            try stage.run(number, Round(scope: scope, values: values, last: last)) {
                try scope.close()
            }
            if !scope.isEmpty { wrong.add(1) }
        }
        user.join()
        driver.join()
        #expect(mapped.total == 0 && wrong.total == 0)
    }
}
