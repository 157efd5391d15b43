// SPDX-License-Identifier: Apache-2.0

// Waits that end at an instant.
extension EventCounter {
    /// As `add(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func add(_ amount: UInt64, until deadline: ContinuousClock.Instant) throws(QuiesceError)
    {
        try add(amount, within: deadline.timeLeft)
    }

    /// As `add(within:)`, until an instant.
    public func add(_ amount: UInt64, until deadline: ContinuousClock.Instant)
        async throws
    {
        try await add(amount, within: deadline.timeLeft)
    }

    /// As `take(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func take(until deadline: ContinuousClock.Instant) throws(QuiesceError) -> UInt64 {
        try take(within: deadline.timeLeft)
    }

    /// As `take(within:)`, until an instant.
    public func take(until deadline: ContinuousClock.Instant) async throws -> UInt64 {
        try await take(within: deadline.timeLeft)
    }
}
