// SPDX-License-Identifier: Apache-2.0

package import Substrate

// Waiting for what an item runs.
extension WorkItem {
    /// Disables the item and waits until its function is not running, on any queue. Kernel:
    /// `disable_work_sync`.
    ///
    /// The verb of teardown: when it returns, the function is not running and will not run. What it
    /// uses can go.
    ///
    /// - Returns: whether the item was pending.
    /// - Throws: `.inside` when the caller is the item's function, and nothing is changed;
    ///   `.timedOut`, and it is disabled.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func close(within timeout: Duration? = nil) throws(QuiesceError) -> Bool {
        try close(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    package func close(until deadline: WorldClock.Instant?) throws(QuiesceError) -> Bool {
        let (_, wasPending) = try disableFromOutside()
        try waitForRuns(until: deadline)
        return wasPending
    }

    /// Disables the item and waits until its function is not running, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`; the item is
    ///   disabled.
    @discardableResult
    public func close(within timeout: Duration? = nil) async throws
        -> Bool
    {
        try await close(until: WorldClock.deadline(within: timeout))
    }

    @discardableResult
    package func close(until deadline: WorldClock.Instant?) async throws
        -> Bool
    {
        let (_, wasPending) = try disableFromOutside()
        try await waitForRuns(until: deadline)
        return wasPending
    }

    /// Cancels the item and waits until its function is not running, on any queue. Kernel:
    /// `cancel_work_sync`.
    ///
    /// Meanwhile it is disabled, so that an item that enqueues itself again ends too. Afterwards it
    /// can be enqueued.
    ///
    /// - Returns: whether the item was pending.
    /// - Throws: `.inside` when the caller is the item's function, and nothing is changed;
    ///   `.timedOut`, and it is cancelled.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func cancelAndWait(within timeout: Duration? = nil) throws(QuiesceError) -> Bool {
        try cancelAndWait(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    package func cancelAndWait(until deadline: WorldClock.Instant?) throws(QuiesceError) -> Bool {
        let (isCounted, wasPending) = try disableFromOutside()
        defer { if isCounted { enable() } }
        try waitForRuns(until: deadline)
        return wasPending
    }

    /// Cancels the item and waits until its function is not running, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`; the item is
    ///   cancelled as well.
    @discardableResult
    public func cancelAndWait(within timeout: Duration? = nil) async throws
        -> Bool
    {
        try await cancelAndWait(until: WorldClock.deadline(within: timeout))
    }

    @discardableResult
    package func cancelAndWait(until deadline: WorldClock.Instant?) async throws
        -> Bool
    {
        let (isCounted, wasPending) = try disableFromOutside()
        defer { if isCounted { enable() } }
        try await waitForRuns(until: deadline)
        return wasPending
    }

    /// Waits until the last enqueueing of this item before the call is over: its function has
    /// returned, or it was cancelled. What is enqueued meanwhile is not waited for. One that moves
    /// to another queue in that moment may be missed. Kernel: `flush_work`.
    ///
    /// - Returns: whether there was something to wait for.
    /// - Throws: `.inside` when the wait could not end: the caller is the item's function, or runs
    ///   on an ordered queue that the item is pending on, or one whose limit is 1; `.timedOut`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func flush(within timeout: Duration? = nil) throws(QuiesceError) -> Bool {
        try flush(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    package func flush(until deadline: WorldClock.Instant?) throws(QuiesceError) -> Bool {
        guard let (home, wasArmed) = try beginFlush() else { return false }
        // What was pending by its timer may be over already.
        return try home.flush(self, until: deadline) || wasArmed
    }

    /// Waits until the last enqueueing of this item before the call is over, as the blocking
    /// spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    @discardableResult
    public func flush(within timeout: Duration? = nil) async throws -> Bool {
        try await flush(until: WorldClock.deadline(within: timeout))
    }

    @discardableResult
    package func flush(until deadline: WorldClock.Instant?) async throws -> Bool {
        guard let (home, wasArmed) = try beginFlush() else { return false }
        // As above.
        let hadToWait = try await home.flush(self, until: deadline)
        return hadToWait || wasArmed
    }

    /// Checks that the wait can end, and then ends that of the item's timer. Nil when the item was
    /// never enqueued.
    private func beginFlush() throws(QuiesceError) -> (home: WorkQueue, wasArmed: Bool)? {
        try checkNotInside()
        guard let home else { return nil }
        if isPending { try home.checkCanFlush() }
        return (home, hasten())
    }

    private func checkNotInside() throws(QuiesceError) {
        guard let worker = Worker.running, worker.isRunning(self), let queue = worker.queue else {
            return
        }
        throw .inside(of: queue.name, item: name)
    }

    /// Disables the item, unless the caller is its function.
    private func disableFromOutside() throws(QuiesceError) -> (isCounted: Bool, wasPending: Bool) {
        try checkNotInside()
        return disable(#filePath, #line)
    }

    /// Waits until the function is not running on any queue.
    private func waitForRuns(until deadline: WorldClock.Instant?) throws(QuiesceError) {
        let (homes, id) = everyHome
        for home in homes { try home.waitForRun(of: id, until: deadline, waitClass, name) }
    }

    private func waitForRuns(until deadline: WorldClock.Instant?) async throws {
        let (homes, id) = everyHome
        for home in homes { try await home.waitForRun(of: id, until: deadline, waitClass, name) }
    }

    /// The queues that it may be running on, and its identity.
    private var everyHome: ([WorkQueue], id: UInt64) {
        whole.read("locate") {
            withHomes {
                ($0.earlier.map(\.queue) + ($0.current.map { [$0] } ?? []), id: id.load())
            }
        }
    }
}
