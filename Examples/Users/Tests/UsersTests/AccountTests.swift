// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Testing
import Users

struct AccountTests {
    @Test(.everyInterleaving)
    func `an account is never overdrawn`() async throws { try await withdrawTwice(Account.self) }

    @Test(.finds(.expectation, at: "guard await approval.approves"), .everyInterleaving)
    func `a broken account is overdrawn`() async throws {
        try await withdrawTwice(BrokenAccount.self)
    }

    /// Without the trait, as in any testing framework: what is found is thrown.
    @Test func `a function explores as well`() async throws {
        let failure = await #expect(throws: ExplorationFailure.self) {
            try await exploreBrokenAccount()
        }
        #expect(failure?.report.counterexample?.verdict.kind == .expectation)
        #expect(failure?.description.contains("guard await approval.approves") == true)
    }

    // A function of its own: inside a macro the schedule would name the lines of what the macro
    // expands to.
    private func exploreBrokenAccount() async throws {
        try await everyInterleaving { _ in
            let account = BrokenAccount(balance: 100)
            async let first = account.withdraw(70)
            async let second = account.withdraw(70)
            let withdrawn = await [first, second].count { $0 }
            expect(withdrawn == 1, "overdrawn")
        }
    }

    private func withdrawTwice<A: Withdrawing>(_: A.Type) async throws {
        let account = A(balance: 100)
        async let first = account.withdraw(70)
        async let second = account.withdraw(70)
        let withdrawn = await [first, second].count { $0 }
        #expect(withdrawn == 1, "overdrawn")
        #expect(await account.balance == 30)
    }
}

private protocol Withdrawing: Actor {
    var balance: Int { get }
    init(balance: Int)
    func withdraw(_ amount: Int) async -> Bool
}

extension Account: Withdrawing {}
extension BrokenAccount: Withdrawing {}
