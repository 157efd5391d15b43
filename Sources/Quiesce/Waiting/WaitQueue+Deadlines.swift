// SPDX-License-Identifier: Apache-2.0

// Waits that end at an instant.
extension WaitQueue {
    /// As `wait(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func wait(until deadline: ContinuousClock.Instant, for condition: () -> Bool)
        throws(QuiesceError)
    {
        try wait(within: deadline.timeLeft, for: condition)
    }

    /// As `wait(within:)`, until an instant.
    public func wait(until deadline: ContinuousClock.Instant, for condition: () -> Bool)
        async throws
    {
        try await wait(within: deadline.timeLeft, for: condition)
    }
}
