// SPDX-License-Identifier: Apache-2.0

package import Substrate

/// Threads and tasks that wait until something they look at becomes true.
///
/// Make the condition true, then `wake`. The condition is called by the waiter, more than once,
/// with no lock of the queue held; what it reads must be safe to read there: atomics read
/// sequentially consistent, or state under a lock. `wake` sees every waiter whose condition did not
/// see the change. The change must be a sequentially consistent update, or be made under a lock.
///
/// `close()` ends every wait, for the teardown of what is waited for. Kernel counterpart:
/// `wait_queue_head_t`, `wait_event`, `wake_up`.
public final class WaitQueue: Sendable {
    let waiters = Waiters()
    private let waitClass: WaitClass
    private let name: String

    /// - Parameter name: what traces and messages call it.
    public init(
        name: String = "wait queue", file: StaticString = #filePath, line: UInt = #line
    ) {
        self.name = name
        waitClass = WaitClass(.waitQueue, file: file, line: line)
        waiters.label(name)
    }

    /// Blocks this thread until `condition` is true.
    ///
    /// - Throws: `.timedOut` when `deadline` passes first, `.closed` when the queue is closed and
    ///   the condition is false.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func wait(within timeout: Duration? = nil, for condition: () -> Bool)
        throws(QuiesceError)
    {
        try wait(until: WorldClock.deadline(within: timeout), for: condition)
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func wait(until deadline: WorldClock.Instant?, for condition: () -> Bool)
        throws(QuiesceError)
    {
        if let ending = waiters.wait(
            for: waitClass, name, until: deadline, looksFirst: true, condition)
        {
            throw failure(ending)
        }
    }

    /// Suspends this task until `condition` is true.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`. Then
    ///   nothing of it is left in the queue.
    public func wait(within timeout: Duration? = nil, for condition: () -> Bool)
        async throws
    {
        try await wait(until: WorldClock.deadline(within: timeout), for: condition)
    }

    package func wait(until deadline: WorldClock.Instant?, for condition: () -> Bool)
        async throws
    {
        if let ending = await waiters.wait(
            for: waitClass, name, until: deadline, looksFirst: true, condition)
        {
            throw ending.error(failure(ending))
        }
    }

    /// Wakes those that have waited longest, at most `limit`, to look at their conditions. One
    /// that finds its own still false goes to the end of the line.
    ///
    /// With a limit, all conditions in the queue should be alike: a waiter that finds its own still
    /// false has used the wake-up up.
    public func wake(_ limit: Int = .max) { waiters.wake(limit) }

    /// Ends every wait whose condition is false, and every later one, with `.closed`. Closing again
    /// does nothing.
    public func close() { waiters.close() }

    private func failure(_ ending: Waiter.Ending) -> QuiesceError {
        ending == .closed ? .closed(name) : .timedOut(of: name, occupants: [])
    }
}
