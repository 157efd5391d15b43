// SPDX-License-Identifier: Apache-2.0

public import Quiesce

// Waits that end at an instant.

extension Device {
    /// As `unbind(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func unbind(until deadline: ContinuousClock.Instant) throws {
        try unbind(within: deadline.timeLeft)
    }

    /// As `unbind(within:)`, until an instant.
    public func unbind(until deadline: ContinuousClock.Instant) async throws {
        try await unbind(within: deadline.timeLeft)
    }
}

extension Bus {
    /// As `remove(_:within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func remove(_ device: Device, until deadline: ContinuousClock.Instant) throws {
        try remove(device, within: deadline.timeLeft)
    }

    /// As `remove(_:within:)`, until an instant.
    public func remove(_ device: Device, until deadline: ContinuousClock.Instant) async throws {
        try await remove(device, within: deadline.timeLeft)
    }

    /// As `unregister(_:within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func unregister(_ driver: any Driver, until deadline: ContinuousClock.Instant) throws {
        try unregister(driver, within: deadline.timeLeft)
    }

    /// As `unregister(_:within:)`, until an instant.
    public func unregister(_ driver: any Driver, until deadline: ContinuousClock.Instant)
        async throws
    {
        try await unregister(driver, within: deadline.timeLeft)
    }

    /// As `close(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func close(until deadline: ContinuousClock.Instant) throws {
        try close(within: deadline.timeLeft)
    }

    /// As `close(within:)`, until an instant.
    public func close(until deadline: ContinuousClock.Instant) async throws {
        try await close(within: deadline.timeLeft)
    }
}

extension DeviceEvents {
    /// As `next(within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func next(until deadline: ContinuousClock.Instant) throws(QuiesceError) -> DeviceEvent? {
        try next(within: deadline.timeLeft)
    }

    /// As `next(within:)`, until an instant.
    public func next(until deadline: ContinuousClock.Instant) async throws -> DeviceEvent? {
        try await next(within: deadline.timeLeft)
    }
}

extension CharacterDevice {
    /// As `open(_:within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func open(_ sharing: Sharing = .shared, until deadline: ContinuousClock.Instant) throws
        -> OpenFile<Operations>
    {
        try open(sharing, within: deadline.timeLeft)
    }

    /// As `open(_:within:)`, until an instant.
    public func open(_ sharing: Sharing = .shared, until deadline: ContinuousClock.Instant)
        async throws -> OpenFile<Operations>
    {
        try await open(sharing, within: deadline.timeLeft)
    }
}

extension OpenFile {
    /// As `read(_:within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func read(_ count: Int, until deadline: ContinuousClock.Instant) throws -> [UInt8] {
        try read(count, within: deadline.timeLeft)
    }

    /// As `read(_:within:)`, until an instant.
    public func read(_ count: Int, until deadline: ContinuousClock.Instant) async throws -> [UInt8]
    {
        try await read(count, within: deadline.timeLeft)
    }

    /// As `write(_:within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func write(_ bytes: [UInt8], until deadline: ContinuousClock.Instant) throws -> Int {
        try write(bytes, within: deadline.timeLeft)
    }

    /// As `write(_:within:)`, until an instant.
    @discardableResult
    public func write(_ bytes: [UInt8], until deadline: ContinuousClock.Instant) async throws -> Int
    {
        try await write(bytes, within: deadline.timeLeft)
    }

    /// As `control(_:within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func control(_ request: Operations.Request, until deadline: ContinuousClock.Instant)
        throws -> Operations.Reply
    {
        try control(request, within: deadline.timeLeft)
    }

    /// As `control(_:within:)`, until an instant.
    @discardableResult
    public func control(_ request: Operations.Request, until deadline: ContinuousClock.Instant)
        async throws -> Operations.Reply
    {
        try await control(request, within: deadline.timeLeft)
    }

    /// As `poll(_:within:)`, until an instant.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func poll(_ interest: Readiness, until deadline: ContinuousClock.Instant) throws
        -> Readiness
    {
        try poll(interest, within: deadline.timeLeft)
    }

    /// As `poll(_:within:)`, until an instant.
    public func poll(_ interest: Readiness, until deadline: ContinuousClock.Instant) async throws
        -> Readiness
    {
        try await poll(interest, within: deadline.timeLeft)
    }

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
}

extension Provider {
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
}
