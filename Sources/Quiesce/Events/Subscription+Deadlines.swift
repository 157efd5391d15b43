// SPDX-License-Identifier: Apache-2.0

// Waits that end at an instant.
extension Subscription {
    /// As `close(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func close(until deadline: ContinuousClock.Instant) throws(QuiesceError) -> Bool {
        try close(within: deadline.timeLeft)
    }

    /// As `close(within:)`, until an instant.
    @discardableResult
    public func close(until deadline: ContinuousClock.Instant) async throws -> Bool {
        try await close(within: deadline.timeLeft)
    }

    /// As `closeAndTake(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func closeAndTake(until deadline: ContinuousClock.Instant) throws(QuiesceError)
        -> UInt64?
    {
        try closeAndTake(within: deadline.timeLeft)
    }

    /// As `closeAndTake(within:)`, until an instant.
    public func closeAndTake(until deadline: ContinuousClock.Instant) async throws
        -> UInt64?
    {
        try await closeAndTake(within: deadline.timeLeft)
    }
}
