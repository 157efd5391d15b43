// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Users

/// A `quiesce check` of this package: `swift run UserStories check`.
@main enum UserStories: StoryCatalog {
    static let stories = [
        Story(
            "withdraw-twice", text: "account", .broken, "acts on a check from before the wait",
            expecting: .expectation
        ) { _ in
            let account = BrokenAccount(balance: 100)
            await withdrawTwice(account.withdraw)
        },
        Story(
            "withdraw-twice-repaired", text: "account", .repaired,
            "takes the money before the wait"
        ) { _ in
            let account = Account(balance: 100)
            await withdrawTwice(account.withdraw)
        },
    ]

    private static func withdrawTwice(
        _ withdraw: @escaping @Sendable (Int) async -> Bool
    ) async {
        async let first = withdraw(70)
        async let second = withdraw(70)
        let withdrawn = await [first, second].count { $0 }
        expect(withdrawn == 1, "overdrawn")
    }
}
