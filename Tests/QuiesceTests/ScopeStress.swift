// SPDX-License-Identifier: Apache-2.0

import Substrate
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

    /// Users of values, threads that release by hand, and threads that add, against the end of a
    /// scope: what is acquired is given back once, after its last user, and nothing is left.
    @Test func `a scope gives all back once, after its users`() throws {
        let rounds = 20_000
        let (mapped, wrong) = (Tally(), Tally())
        for round in 0..<rounds {
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
            let shared = values
            let user = try WorldThread.spawn(name: "user") {
                for value in shared {
                    value.withValue { region in
                        if region.isMapped != 1 { wrong.add(1) }
                    }
                }
            }
            let driver = try WorldThread.spawn(name: "driver") {
                _ = try? scope.release(shared[round % 3])
                _ = try? scope.release(last)
                mapped.add(1)
                _ = try? scope.add("late") { mapped.add(-1) }
            }
            try scope.close()
            if !scope.isEmpty { wrong.add(1) }
            user.join()
            driver.join()
        }
        #expect(mapped.total == 0 && wrong.total == 0)
    }
}
