// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Testing

@testable import Bank

@Suite struct AccountTests {
    @Test(.everyInterleaving) func withdrawTwice() async {
        let account = Account(balance: 100)
        async let first = account.withdraw(70)
        async let second = account.withdraw(70)
        let paid = await [first, second].count { $0 }
        #expect(paid == 1)
        #expect(await account.balance == 30)
    }
}
