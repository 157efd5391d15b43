// SPDX-License-Identifier: Apache-2.0

actor Approval {
    func approves(_ amount: Int) -> Bool { amount < 1_000 }
}

actor Account {
    private(set) var balance: Int
    private let approval = Approval()

    init(balance: Int) { self.balance = balance }

    /// Says whether the amount was paid.
    func withdraw(_ amount: Int) async -> Bool {
        guard balance >= amount else { return false }
        guard await approval.approves(amount) else { return false }
        balance -= amount
        return true
    }
}
