// SPDX-License-Identifier: Apache-2.0

package import Substrate

extension ResourceScope {
    // MARK: One resource

    /// Releases a resource now, and before it what was declared to go before it. Kernel:
    /// `devm_release_action`.
    ///
    /// A second caller waits until the release is over; in a release action of this scope it does
    /// not wait. A resource that is not here has been released.
    ///
    /// - Returns: whether this call released it.
    /// - Throws: `.releasesFailed`, and then it is released all the same; `.inside` from the
    ///   resource's own release, and from another one's while what goes before the resource is
    ///   being released; `.timedOut`, which names the releases that run.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func release(_ resource: ResourceID, within timeout: Duration? = nil)
        throws(QuiesceError) -> Bool
    {
        try engine.release(
            ReleaseWalk(over: [resource.number]),
            until: WorldClock.deadline(within: timeout)) > 0
    }

    /// Releases a resource now, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    @discardableResult
    public func release(_ resource: ResourceID, within timeout: Duration? = nil) async throws
        -> Bool
    {
        try await engine.release(
            ReleaseWalk(over: [resource.number]),
            until: WorldClock.deadline(within: timeout)) > 0
    }

    // MARK: All resources

    /// Releases all that is in the scope, which stays open. Kernel: `devres_release_all`.
    ///
    /// What is added meanwhile stays. Groups are forgotten.
    ///
    /// - Returns: how many resources this call released.
    /// - Throws: as `close()`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func releaseAll(within timeout: Duration? = nil) throws(QuiesceError) -> Int {
        try engine.release(upTo: .over, closing: false, until: WorldClock.deadline(within: timeout))
    }

    /// Releases all that is in the scope, as the blocking spelling.
    @discardableResult
    public func releaseAll(within timeout: Duration? = nil) async throws -> Int {
        try await engine.release(
            upTo: .over, closing: false, until: WorldClock.deadline(within: timeout))
    }

    /// Ends the registrations, and takes no more of them: no new user comes in. The first part of
    /// `close()`, for a driver whose `remove` comes between the two.
    ///
    /// - Throws: as `close()`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func closeRegistrations(within timeout: Duration? = nil) throws(QuiesceError) {
        try closeRegistrations(until: WorldClock.deadline(within: timeout))
    }

    /// Ends the registrations, as the blocking spelling.
    public func closeRegistrations(within timeout: Duration? = nil) async throws {
        try await closeRegistrations(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func closeRegistrations(until deadline: WorldClock.Instant?) throws(QuiesceError) {
        _ = try engine.release(upTo: .resources, closing: true, until: deadline)
    }

    package func closeRegistrations(until deadline: WorldClock.Instant?) async throws {
        _ = try await engine.release(upTo: .resources, closing: true, until: deadline)
    }

    /// Ends the scope: takes nothing more, and releases all that is in it. Closing again waits
    /// until all is released.
    ///
    /// Registrations go first, associations last; what is in between is released in reverse order,
    /// but for what was declared to go before.
    ///
    /// - Throws: `.releasesFailed` when releases threw; the others took place. `.inside` when the
    ///   caller is a release action of this scope, and nothing has changed; or when it uses a value
    ///   of the scope. `.timedOut`, which names those that the close waited for. In the last two
    ///   cases the scope stays closing, and another `close` goes on.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func close(within timeout: Duration? = nil) throws(QuiesceError) {
        try close(until: WorldClock.deadline(within: timeout))
    }

    /// Ends the scope, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`; the scope stays closing.
    public func close(within timeout: Duration? = nil) async throws {
        try await close(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func close(until deadline: WorldClock.Instant?) throws(QuiesceError) {
        _ = try engine.release(upTo: .over, closing: true, until: deadline)
    }

    package func close(until deadline: WorldClock.Instant?) async throws {
        _ = try await engine.release(upTo: .over, closing: true, until: deadline)
    }
}
