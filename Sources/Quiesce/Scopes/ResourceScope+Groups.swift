// SPDX-License-Identifier: Apache-2.0

import Substrate

// Groups: stretches of a scope that are released by themselves. They may lie in each other, or
// overlap.
extension ResourceScope {
    /// Opens a group: what is added from here on is in it, until it is closed. Kernel:
    /// `devres_open_group`.
    public func openGroup(_ name: String = "group") -> ResourceGroupID {
        ResourceGroupID(number: engine.change("open a group in") { $0.openGroup(name) })
    }

    /// Closes a group, or the one that was opened last of those that are open: what is added from
    /// here on is not in it. Kernel: `devres_close_group`.
    ///
    /// - Returns: false when it is closed already, or not here.
    @discardableResult
    public func closeGroup(_ group: ResourceGroupID? = nil) -> Bool {
        engine.change("close a group in") { list in
            (group?.number ?? list.lastGroup(named: nil)).map { list.closeGroup($0) } ?? false
        }
    }

    /// Forgets a group, or the one that was opened last of those that are open; what is in it
    /// stays. Kernel: `devres_remove_group`.
    ///
    /// - Returns: false when it is not here.
    @discardableResult
    public func removeGroup(_ group: ResourceGroupID? = nil) -> Bool {
        engine.change("remove a group from") { list in
            (group?.number ?? list.lastGroup(named: nil)).map { list.removeGroup($0) } ?? false
        }
    }

    /// The group that was opened last among those that have this name.
    public func group(named name: String) -> ResourceGroupID? {
        engine.look { $0.lastGroup(named: name) }
            .map { ResourceGroupID(number: $0) }
    }

    /// Releases what is in a group, or in the one that was opened last of those that are open, and
    /// forgets the group and those that lie in it whole. Kernel: `devres_release_group`.
    ///
    /// - Returns: how many resources this call released; nil when the group is not here.
    /// - Throws: as `release(_:)`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func releaseGroup(_ group: ResourceGroupID? = nil, within timeout: Duration? = nil)
        throws(QuiesceError) -> Int?
    {
        guard let numbers = take(group) else { return nil }
        return try engine.release(
            ReleaseWalk(over: numbers), until: WorldClock.deadline(within: timeout))
    }

    /// Releases what is in a group, as the blocking spelling.
    @discardableResult
    public func releaseGroup(_ group: ResourceGroupID? = nil, within timeout: Duration? = nil)
        async throws -> Int?
    {
        guard let numbers = take(group) else { return nil }
        return try await engine.release(
            ReleaseWalk(over: numbers), until: WorldClock.deadline(within: timeout))
    }

    private func take(_ group: ResourceGroupID?) -> [UInt64]? {
        engine.change("take a group of") { list in
            (group?.number ?? list.lastGroup(named: nil)).flatMap { list.takeGroup($0) }
        }
    }

    /// Calls `body`, and if it throws, releases what was added meanwhile.
    ///
    /// When it returns, the group is closed and stays: `group(named:)` finds it.
    ///
    /// - Throws: what `body` throws; `.releasesFailed`, which has that error too, when a release
    ///   throws besides.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func withGroup<Result: ~Copyable>(
        _ name: String = "group", _ body: (ResourceGroupID) throws -> Result
    ) throws -> Result {
        let group = openGroup(name)
        do {
            let result = try body(group)
            closeGroup(group)
            return result
        } catch {
            let numbers = take(group) ?? []
            try engine.release(
                ReleaseWalk(over: numbers), after: ReleaseFailure(name, error))
            throw error
        }
    }
}
