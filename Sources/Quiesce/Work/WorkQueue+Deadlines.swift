// SPDX-License-Identifier: Apache-2.0

// Waits that end at an instant.
extension WorkQueue {
    /// As `flush(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func flush(until deadline: ContinuousClock.Instant) throws(QuiesceError) {
        try flush(within: deadline.timeLeft)
    }

    /// As `flush(within:)`, until an instant.
    public func flush(until deadline: ContinuousClock.Instant) async throws {
        try await flush(within: deadline.timeLeft)
    }

    /// As `drain(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func drain(
        until deadline: ContinuousClock.Instant, file: StaticString = #filePath,
        line: UInt = #line
    ) throws(QuiesceError) {
        try drain(within: deadline.timeLeft, file: file, line: line)
    }

    /// As `drain(within:)`, until an instant.
    public func drain(
        until deadline: ContinuousClock.Instant, file: StaticString = #filePath,
        line: UInt = #line
    ) async throws {
        try await drain(within: deadline.timeLeft, file: file, line: line)
    }

    /// As `close(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func close(
        until deadline: ContinuousClock.Instant, file: StaticString = #filePath,
        line: UInt = #line
    ) throws(QuiesceError) {
        try close(within: deadline.timeLeft, file: file, line: line)
    }

    /// As `close(within:)`, until an instant.
    public func close(
        until deadline: ContinuousClock.Instant, file: StaticString = #filePath,
        line: UInt = #line
    ) async throws {
        try await close(within: deadline.timeLeft, file: file, line: line)
    }
}
