// SPDX-License-Identifier: Apache-2.0

// tutorial-explored
import QuiesceTesting
import Testing

@Suite struct AccountTests {
    @Test(.everyInterleaving) func withdrawTwice() async {
        let account = RepairedAccount(balance: 100)
        async let first = account.withdraw(70)
        async let second = account.withdraw(70)
        let paid = await [first, second].count { $0 }
        #expect(paid == 1)
        #expect(await account.balance == 30)
    }
}
// end

@Suite struct BrokenAccountTests {
    @Test(.fails("failed expectation", "paid", "goes on Account:"), .everyInterleaving)
    func withdrawTwice() async {
        let account = Account(balance: 100)
        async let first = account.withdraw(70)
        async let second = account.withdraw(70)
        let paid = await [first, second].count { $0 }
        #expect(paid == 1)
    }
}
