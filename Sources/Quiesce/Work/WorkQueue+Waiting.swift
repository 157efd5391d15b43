// SPDX-License-Identifier: Apache-2.0

package import Substrate

extension WorkQueue {
    /// A waiter for one enqueueing to be over, or for all up to one.
    struct Awaited {
        let waiter: Waiter
        let end: End
        /// Whether it will want to know since when what runs does so.
        let isTimed: Bool

        enum End {
            case of(ticket: UInt64)
            case through(ticket: UInt64)
        }
    }

    // MARK: Flushing

    /// Waits until every item that was enqueued before the call has run or was cancelled. What is
    /// enqueued meanwhile is not waited for, nor are timers that run. Kernel: `flush_workqueue`.
    ///
    /// - Throws: `.inside` when the caller is an item of the queue; `.timedOut`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func flush(within timeout: Duration? = nil) throws(QuiesceError) {
        try flush(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func flush(until deadline: WorldClock.Instant?) throws(QuiesceError) {
        try checkNotInside()
        try wait(awaitAll(isTimed: deadline != nil), until: deadline)
    }

    /// Waits until every item that was enqueued before the call has run or was cancelled, as the
    /// blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    public func flush(within timeout: Duration? = nil) async throws {
        try await flush(until: WorldClock.deadline(within: timeout))
    }

    package func flush(until deadline: WorldClock.Instant?) async throws {
        try checkNotInside()
        try await wait(awaitAll(isTimed: deadline != nil), until: deadline)
    }

    /// Throws where the caller would wait for what can only run after it.
    func checkCanFlush() throws(QuiesceError) {
        checkGeneration()
        guard let worker = Worker.running, worker.queue === self, limit == 1 else { return }
        throw .inside(of: name, item: worker.name)
    }

    /// Waits until the item's last enqueueing here is over. False when there is nothing to wait
    /// for.
    func flush(_ item: WorkItem, until deadline: WorldClock.Instant?) throws(QuiesceError) -> Bool {
        guard let (waiter, isPending) = try awaitItem(item, isTimed: deadline != nil) else {
            return false
        }
        // A pending one waits behind those that run.
        let line = isPending ? waitClass : nil
        try wait(waiter, until: deadline, item.waitClass.of(UInt(item.knownID)), item.name, line)
        return true
    }

    func flush(_ item: WorkItem, until deadline: WorldClock.Instant?) async throws
        -> Bool
    {
        guard let (waiter, isPending) = try awaitItem(item, isTimed: deadline != nil) else {
            return false
        }
        let line = isPending ? waitClass : nil
        try await wait(
            waiter, until: deadline, item.waitClass.of(UInt(item.knownID)), item.name, line)
        return true
    }

    /// Waits until the item that has this number is not running here.
    func waitForRun(
        of id: UInt64, until deadline: WorldClock.Instant?, _ waitClass: WaitClass, _ item: String
    ) throws(QuiesceError) {
        try wait(
            awaitRun(of: id, isTimed: deadline != nil), until: deadline, waitClass.of(UInt(id)),
            item)
    }

    func waitForRun(
        of id: UInt64, until deadline: WorldClock.Instant?, _ waitClass: WaitClass, _ item: String
    ) async throws {
        try await wait(
            awaitRun(of: id, isTimed: deadline != nil), until: deadline, waitClass.of(UInt(id)),
            item)
    }

    // MARK: Draining

    /// Waits until the queue is empty, and meanwhile admits only what its own items enqueue.
    /// Kernel: `drain_workqueue`.
    ///
    /// What its items enqueue is waited for, so that an item that enqueues itself for ever is
    /// waited for as long: then a `Misuse` is reported now and then. Timers that run are not waited
    /// for.
    ///
    /// - Throws: `.inside` when the caller is an item of the queue; `.timedOut`, and the queue is
    ///   open again.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func drain(
        within timeout: Duration? = nil, file: StaticString = #filePath,
        line: UInt = #line
    ) throws(QuiesceError) {
        try drain(until: WorldClock.deadline(within: timeout), file: file, line: line)
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func drain(
        until deadline: WorldClock.Instant?, file: StaticString = #filePath,
        line: UInt = #line
    ) throws(QuiesceError) {
        try checkNotInside()
        changeDrains(by: 1)
        defer { changeDrains(by: -1) }
        try awaitEmpty(until: deadline, file, line)
    }

    /// Waits until the queue is empty, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    public func drain(
        within timeout: Duration? = nil, file: StaticString = #filePath,
        line: UInt = #line
    ) async throws {
        try await drain(until: WorldClock.deadline(within: timeout), file: file, line: line)
    }

    package func drain(
        until deadline: WorldClock.Instant?, file: StaticString = #filePath,
        line: UInt = #line
    ) async throws {
        try checkNotInside()
        changeDrains(by: 1)
        defer { changeDrains(by: -1) }
        try await awaitEmpty(until: deadline, file, line)
    }

    /// Ends the queue: nothing is admitted any more but what its own items enqueue, timers that run
    /// fire now, and what is pending runs. Kernel: `destroy_workqueue`.
    ///
    /// Several may destroy the queue; all wait. When this returns, no item of the queue runs or
    /// will run.
    ///
    /// - Throws: `.inside`, which names item and queue, when the caller is an item of the queue,
    ///   and nothing is changed; `.timedOut`, and the queue goes on ending.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func close(
        within timeout: Duration? = nil, file: StaticString = #filePath,
        line: UInt = #line
    ) throws(QuiesceError) {
        try close(until: WorldClock.deadline(within: timeout), file: file, line: line)
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func close(
        until deadline: WorldClock.Instant?, file: StaticString = #filePath,
        line: UInt = #line
    ) throws(QuiesceError) {
        try beginEnding()
        try awaitEmpty(until: deadline, file, line)
    }

    /// Ends the queue, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`; the queue
    ///   goes on ending.
    public func close(
        within timeout: Duration? = nil, file: StaticString = #filePath,
        line: UInt = #line
    ) async throws {
        try await close(until: WorldClock.deadline(within: timeout), file: file, line: line)
    }

    package func close(
        until deadline: WorldClock.Instant?, file: StaticString = #filePath,
        line: UInt = #line
    ) async throws {
        try beginEnding()
        try await awaitEmpty(until: deadline, file, line)
    }

    private func changeDrains(by change: Int) {
        whole.write(change > 0 ? "drain" : "open") { intake.withLock { $0.drains += change } }
    }

    private func beginEnding() throws(QuiesceError) {
        try checkNotInside()
        whole.write("end") { intake.withLock { $0.isEnding = true } }
        timers.expire(allOf: self)
    }

    private func checkNotInside() throws(QuiesceError) {
        checkGeneration()
        guard let worker = Worker.running, worker.queue === self else { return }
        throw .inside(of: name, item: worker.name)
    }

    // MARK: Waiting

    /// A waiter that is woken when what was enqueued so far is over; nil when it is.
    private func awaitAll(isTimed: Bool) -> Waiter? {
        whole.write("flush") {
            serving.withLock { serving in
                let last = intake.withLock { intake in
                    serving.list.take(&intake.list)
                    return intake.ticket
                }
                guard let oldest = serving.oldest, oldest <= last else { return nil }
                return serving.join(.through(ticket: last), isTimed)
            }
        }
    }

    /// Waits until nothing is pending or runs.
    private func awaitEmpty(until deadline: WorldClock.Instant?, _ file: StaticString, _ line: UInt)
        throws(QuiesceError)
    {
        var round = 0
        while let waiter = awaitAll(isTimed: deadline != nil) {
            note(&round, file, line)
            try wait(waiter, until: deadline)
        }
    }

    private func awaitEmpty(
        until deadline: WorldClock.Instant?, _ file: StaticString, _ line: UInt
    ) async throws {
        var round = 0
        while let waiter = awaitAll(isTimed: deadline != nil) {
            note(&round, file, line)
            try await wait(waiter, until: deadline)
        }
    }

    /// Counts another round of a drain.
    private func note(_ round: inout Int, _ file: StaticString, _ line: UInt) {
        round += 1
        if round == 10 || round <= 1000 && round % 100 == 0 {
            Misuse.report(.longDrain, file, line)
        }
    }

    private func awaitRun(of id: UInt64, isTimed: Bool) -> Waiter? {
        guard id != 0, isOfThisProcess else { return nil }
        return whole.write("await a run on") {
            serving.withLock { serving in
                guard let server = serving.servers.first(where: { $0.id == id }) else { return nil }
                return serving.join(.of(ticket: server.ticket), isTimed)
            }
        }
    }

    private func awaitItem(_ item: WorkItem, isTimed: Bool) throws(QuiesceError)
        -> (waiter: Waiter, isPending: Bool)?
    {
        // In a forked child nothing runs that ran before.
        guard isOfThisProcess else { return nil }
        let id = item.knownID
        let inside = Worker.running.flatMap { $0.queue === self ? $0.name : nil }
        var waitsForItself = false
        let awaited: (waiter: Waiter, isPending: Bool)? = whole.write("flush an item of") {
            Subject.does("flush \(item.name) on \(name)")
            return serving.withLock { serving in
                if isPendingHere(item, &serving) {
                    waitsForItself = inside != nil && serving.limit == 1
                    return waitsForItself
                        ? nil : (serving.join(.of(ticket: item.ticket.load()), isTimed), true)
                }
                guard let server = serving.servers.first(where: { $0.id == id && id != 0 }) else {
                    return nil
                }
                return (serving.join(.of(ticket: server.ticket), isTimed), false)
            }
        }
        if waitsForItself, let inside { throw .inside(of: name, item: inside) }
        return awaited
    }

    /// Most items are over sooner than a thread is put to sleep and woken.
    private static let lingering = 1000

    /// Waits for the queue's items, or for one of them, which may stand in line behind others.
    private func wait(
        _ waiter: Waiter?, until deadline: WorldClock.Instant?, _ itemsClass: WaitClass? = nil,
        _ item: String? = nil, _ line: WaitClass? = nil
    ) throws(QuiesceError) {
        guard let waiter else { return }
        retryThreads()
        func park() -> Waiter.Ending {
            (itemsClass ?? waitClass).waiting(item ?? name) {
                waiter.park(until: deadline, lingering: Self.lingering)
            }
        }
        let ending = line?.waiting(name, park) ?? park()
        if ending != .woken { throw giveUp(waiter) }
    }

    private func wait(
        _ waiter: Waiter?, until deadline: WorldClock.Instant?, _ itemsClass: WaitClass? = nil,
        _ item: String? = nil, _ line: WaitClass? = nil
    ) async throws {
        guard let waiter else { return }
        retryThreads()
        func suspend() async -> Waiter.Ending {
            await (itemsClass ?? waitClass).waiting(item ?? name) {
                await waiter.suspend(until: deadline)
            }
        }
        let ending =
            if let line { await line.waiting(name, suspend) } else { await suspend() }
        guard ending != .woken else { return }
        let failure = giveUp(waiter)
        throw ending.error(failure)
    }

    /// Leaves the line, and says why.
    private func giveUp(_ waiter: Waiter) -> QuiesceError {
        whole.write("give up on") {
            serving.withLock { serving in
                serving.awaited.removeAll { $0.waiter === waiter }
                let (now, following) = (
                    WorldClock.now(), serving.servers.count { unsafe $0.following != nil }
                )
                let pending = serving.list.count + following + intake.withLock { $0.list.count }
                let running = serving.servers.filter { $0.id != 0 }.map { $0.occupant(at: now) }
                return .timedOut(of: name, occupants: running, pending: pending)
            }
        }
    }
}

extension WorkQueue.Serving {
    /// The lowest ticket of what is pending or runs.
    var oldest: UInt64? {
        var result = list.firstTicket
        func note(_ ticket: UInt64) { result = min(result ?? ticket, ticket) }
        for server in servers {
            if server.id != 0 { note(server.ticket) }
            if let following = unsafe server.following {
                unsafe following._withUnsafeGuaranteedRef { note($0.ticket.load()) }
            }
        }
        return result
    }

    /// Puts somebody into the line.
    mutating func join(_ end: WorkQueue.Awaited.End, _ isTimed: Bool) -> Waiter {
        let waiter = Waiter()
        awaited.append(WorkQueue.Awaited(waiter: waiter, end: end, isTimed: isTimed))
        if isTimed {
            let now = WorldClock.now()
            for server in servers where server.id != 0 { server.isSeen(at: now) }
        }
        return waiter
    }

    /// The enqueueing that had this ticket is over. Returns the waiters for it, to be roused
    /// without the lock.
    mutating func end(_ ticket: UInt64) -> [Waiter.Roused] {
        guard !awaited.isEmpty else { return [] }
        let oldest = oldest ?? .max
        var roused: [Waiter.Roused] = []
        awaited.removeAll { awaited in
            let isOver =
                switch awaited.end {
                case .of(let awaitedTicket): awaitedTicket == ticket
                case .through(let last): oldest > last
                }
            if isOver {
                roused.append(
                    Waiter.Roused(waiter: awaited.waiter, decision: awaited.waiter.decide(.woken)))
            }
            return isOver
        }
        return roused
    }
}
