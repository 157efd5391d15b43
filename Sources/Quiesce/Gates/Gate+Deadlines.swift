// SPDX-License-Identifier: Apache-2.0

// Waits that end at an instant.
extension Gate {
    /// As `close(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func close(until deadline: ContinuousClock.Instant) throws(QuiesceError) {
        try close(within: deadline.timeLeft)
    }

    /// As `close(within:)`, until an instant.
    public func close(until deadline: ContinuousClock.Instant) async throws {
        try await close(within: deadline.timeLeft)
    }

    /// As `close(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public static func close(
        _ gates: some Collection<Gate>, until deadline: ContinuousClock.Instant
    ) throws(QuiesceError) {
        try close(gates, within: deadline.timeLeft)
    }

    /// As `close(within:)`, until an instant.
    public static func close(
        _ gates: some Collection<Gate>, until deadline: ContinuousClock.Instant
    ) async throws {
        try await close(gates, within: deadline.timeLeft)
    }
}
