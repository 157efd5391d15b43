// SPDX-License-Identifier: Apache-2.0

/// Decides whether payments may be made. Stands for a service on the network.
actor Approval {
    /// Whether a payment of so much may.
    func approves(_ amount: Int) -> Bool { amount > 0 }
}

/// An account that relies on what it knew before it waited.
///
/// Wrong: while one withdrawal waits for its approval, the actor serves another one. Both have seen
/// the full balance.
public actor BrokenAccount {
    /// What is left.
    public private(set) var balance: Int
    private let approval = Approval()

    public init(balance: Int) { self.balance = balance }

    /// Whether the amount was withdrawn.
    public func withdraw(_ amount: Int) async -> Bool {
        guard balance >= amount else { return false }
        guard await approval.approves(amount) else { return false }
        balance -= amount
        return true
    }
}

/// An account that takes the money before it waits.
///
/// Right: between the check and the change there is no `await`, so nobody comes between them. A
/// refusal gives the money back.
public actor Account {
    /// What is left.
    public private(set) var balance: Int
    private let approval = Approval()

    public init(balance: Int) { self.balance = balance }

    /// Whether the amount was withdrawn.
    public func withdraw(_ amount: Int) async -> Bool {
        guard balance >= amount else { return false }
        balance -= amount
        guard await approval.approves(amount) else {
            balance += amount
            return false
        }
        return true
    }
}
