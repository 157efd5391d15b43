// SPDX-License-Identifier: Apache-2.0

package import Substrate

/// Functions on work queues that are waited for together.
///
///     let group = WorkGroup(name: "import")
///     for file in files { _ = group.enqueue(on: queue) { load(file) } }
///     try group.wait(within: .seconds(10))     // all have run
///
/// A group can be used again. What its functions did happens before a wait for it returns. In a
/// forked child it is empty. Use a task group where the work is `async`.
public final class WorkGroup: Sendable {
    public let name: String
    private let members = Mutex(Members())
    private let waiters = Waiters()
    private let waits: WaitClass
    private let whole = Subject()

    private struct Members {
        var list: [Member] = []
        var last: UInt64 = 0
        var generation = World.generation
    }

    private struct Member {
        let number: UInt64
        let name: String
        /// Since when it runs, and on what thread; nil and 0 while it is pending.
        var since: WorldClock.Instant?
        var thread: UInt32 = 0
    }

    /// - Parameter name: what messages and traces call it.
    public init(
        name: String = "a group of work", file: StaticString = #filePath, line: UInt = #line
    ) {
        self.name = name
        waits = WaitClass(.workGroup, file: file, line: line)
        whole.label(name) { members.label(name + ".members") }
        waiters.label(name)
    }

    /// Enqueues `function` on `queue`, as a member of the group.
    ///
    /// - Parameter name: what messages and traces call it.
    /// - Returns: `.queued` or `.draining`. A refused function is no member.
    public func enqueue(
        on queue: WorkQueue, name: String? = nil, _ function: @escaping @Sendable () -> Void
    ) -> Enqueued {
        let number = change("add to") { members in
            members.last += 1
            members.list.append(
                Member(number: members.last, name: name ?? WorkQueue.unnamed))
            return members.last
        }
        let answer = queue.enqueue(name: name) { [self] in
            begin(number)
            waits.of(self).section(self.name) { function() }
            end(number)
        }
        if answer != .queued { end(number) }
        return answer
    }

    /// Whether no function of the group is pending or running, at this moment.
    public var isEmpty: Bool { change("look at", writes: false) { $0.list.isEmpty } }

    /// Blocks this thread until no function of the group is pending or running.
    ///
    /// - Throws: `.timedOut`, which names those that run; `.inside` when the caller is a function
    ///   of the group.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func wait(within timeout: Duration? = nil) throws(QuiesceError) {
        try wait(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func wait(until deadline: WorldClock.Instant?) throws(QuiesceError) {
        try checkNotInside()
        if waiters.wait(for: waits.of(self), name, until: deadline, { isEmpty }) != nil {
            throw failure()
        }
    }

    /// Suspends this task until no function of the group is pending or running.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    public func wait(within timeout: Duration? = nil) async throws {
        try await wait(until: WorldClock.deadline(within: timeout))
    }

    package func wait(until deadline: WorldClock.Instant?) async throws {
        try checkNotInside()
        if let ending = await waiters.wait(
            for: waits.of(self), name, until: deadline, { isEmpty })
        {
            throw ending.error(failure())
        }
    }

    // MARK: Members

    private func change<Result>(
        _ what: StaticString, writes: Bool = true,
        _ body: (inout Members) -> sending Result
    ) -> Result {
        writes ? whole.write(what) { locked(body) } : whole.read(what) { locked(body) }
    }

    private func locked<Result>(_ body: (inout Members) -> sending Result) -> Result {
        ForkSection.run {
            members.withLock { members in
                if members.generation != World.generation {
                    members.list.removeAll()
                    members.generation = World.generation
                }
                return body(&members)
            }
        }
    }

    private func begin(_ number: UInt64) {
        change("begin in") { members in
            guard let place = members.list.firstIndex(where: { $0.number == number }) else {
                return
            }
            members.list[place].since = WorldClock.now()
            members.list[place].thread = World.currentThread
        }
    }

    private func end(_ number: UInt64) {
        let isLast = change("end in") { members in
            members.list.removeAll { $0.number == number }
            return members.list.isEmpty
        }
        if isLast { waiters.wake() }
    }

    private func checkNotInside() throws(QuiesceError) {
        let thread = World.currentThread
        let inside = change("look at", writes: false) { members in
            members.list.first { $0.thread == thread }?.name
        }
        if let inside { throw .inside(of: name, item: inside) }
    }

    private func failure() -> QuiesceError {
        let now = WorldClock.now()
        return change("look at", writes: false) { members in
            .timedOut(
                of: name,
                occupants: members.list.compactMap { member in
                    member.since.map { Occupant(member.name, since: $0, isExact: true, at: now) }
                },
                pending: members.list.count { $0.since == nil })
        }
    }
}
