// SPDX-License-Identifier: Apache-2.0

public import Substrate

extension WorkQueue {
    /// Somebody who waits for an enqueueing to be over, or for all up to one.
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
    public func flush(until deadline: Clock.Instant? = nil) throws(WorkError) {
        try checkNotInside()
        try wait(awaitAll(isTimed: deadline != nil), until: deadline)
    }

    /// Waits until every item that was enqueued before the call has run or was cancelled, as the
    /// blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `.cancelled` when the task is cancelled.
    public func flush(until deadline: Clock.Instant? = nil) async throws(WorkError) {
        try checkNotInside()
        try await wait(awaitAll(isTimed: deadline != nil), until: deadline)
    }

    /// Throws where the caller would wait for what can only run after it.
    func checkCanFlush() throws(WorkError) {
        checkGeneration()
        guard let worker = Worker.running, worker.queue === self, limit == 1 else { return }
        throw .inside(item: worker.name, queue: name)
    }

    /// Waits until the item's last enqueueing here is over. False when there is nothing to wait
    /// for.
    func flush(_ item: WorkItem, until deadline: Clock.Instant?) throws(WorkError) -> Bool {
        guard let (waiter, isPending) = try awaitItem(item, isTimed: deadline != nil) else {
            return false
        }
        // A pending one waits behind those that run.
        let line = isPending ? waitClass : nil
        try wait(waiter, until: deadline, item.waitClass.of(UInt(item.knownID)), item.name, line)
        return true
    }

    func flush(_ item: WorkItem, until deadline: Clock.Instant?) async throws(WorkError) -> Bool {
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
        of id: UInt64, until deadline: Clock.Instant?, _ waitClass: WaitClass, _ item: String
    ) throws(WorkError) {
        try wait(
            awaitRun(of: id, isTimed: deadline != nil), until: deadline, waitClass.of(UInt(id)),
            item)
    }

    func waitForRun(
        of id: UInt64, until deadline: Clock.Instant?, _ waitClass: WaitClass, _ item: String
    ) async throws(WorkError) {
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
        until deadline: Clock.Instant? = nil, file: StaticString = #filePath, line: UInt = #line
    ) throws(WorkError) {
        try checkNotInside()
        changeDrains(by: 1)
        defer { changeDrains(by: -1) }
        try awaitEmpty(until: deadline, file, line)
    }

    /// Waits until the queue is empty, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `.cancelled` when the task is cancelled.
    public func drain(
        until deadline: Clock.Instant? = nil, file: StaticString = #filePath, line: UInt = #line
    ) async throws(WorkError) {
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
    public func destroy(
        until deadline: Clock.Instant? = nil, file: StaticString = #filePath, line: UInt = #line
    ) throws(WorkError) {
        try beginEnding()
        try awaitEmpty(until: deadline, file, line)
    }

    /// Ends the queue, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `.cancelled` when the task is cancelled; the queue
    ///   goes on ending.
    public func destroy(
        until deadline: Clock.Instant? = nil, file: StaticString = #filePath, line: UInt = #line
    ) async throws(WorkError) {
        try beginEnding()
        try await awaitEmpty(until: deadline, file, line)
    }

    private func changeDrains(by change: Int) {
        whole.write(change > 0 ? "drain" : "open") { intake.withLock { $0.drains += change } }
    }

    private func beginEnding() throws(WorkError) {
        try checkNotInside()
        whole.write("end") { intake.withLock { $0.isEnding = true } }
        timers.expire(allOf: self)
    }

    private func checkNotInside() throws(WorkError) {
        checkGeneration()
        guard let worker = Worker.running, worker.queue === self else { return }
        throw .inside(item: worker.name, queue: name)
    }

    // MARK: Waiting

    /// Has the caller be woken when what was enqueued so far is over; nil when it is.
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
    private func awaitEmpty(until deadline: Clock.Instant?, _ file: StaticString, _ line: UInt)
        throws(WorkError)
    {
        var round = 0
        while let waiter = awaitAll(isTimed: deadline != nil) {
            note(&round, file, line)
            try wait(waiter, until: deadline)
        }
    }

    private func awaitEmpty(
        until deadline: Clock.Instant?, _ file: StaticString, _ line: UInt
    ) async throws(WorkError) {
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

    private func awaitItem(_ item: WorkItem, isTimed: Bool) throws(WorkError)
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
        if waitsForItself, let inside { throw .inside(item: inside, queue: name) }
        return awaited
    }

    /// Most items are over sooner than a thread is put to sleep and woken.
    private static let lingering = 1000

    /// Waits for the queue's items, or for one of them, which may stand in line behind others.
    private func wait(
        _ waiter: Waiter?, until deadline: Clock.Instant?, _ itemsClass: WaitClass? = nil,
        _ item: String? = nil, _ line: WaitClass? = nil
    ) throws(WorkError) {
        guard let waiter else { return }
        retryThreads()
        func park() -> Waiter.Ending {
            (itemsClass ?? waitClass).waiting(item ?? name) {
                waiter.park(until: deadline, lingering: Self.lingering)
            }
        }
        let ending = line?.waiting(name, park) ?? park()
        if ending != .woken { throw giveUp(waiter, ending) }
    }

    private func wait(
        _ waiter: Waiter?, until deadline: Clock.Instant?, _ itemsClass: WaitClass? = nil,
        _ item: String? = nil, _ line: WaitClass? = nil
    ) async throws(WorkError) {
        guard let waiter else { return }
        retryThreads()
        func suspend() async -> Waiter.Ending {
            await (itemsClass ?? waitClass).waiting(item ?? name) {
                await waiter.suspend(until: deadline)
            }
        }
        let ending =
            if let line { await line.waiting(name, suspend) } else { await suspend() }
        if ending != .woken { throw giveUp(waiter, ending) }
    }

    /// Leaves the line, and says why.
    private func giveUp(_ waiter: Waiter, _ ending: Waiter.Ending) -> WorkError {
        whole.write("give up on") {
            serving.withLock { serving in
                serving.awaited.removeAll { $0.waiter === waiter }
                if ending == .cancelled { return .cancelled(queue: name) }
                let (now, following) = (
                    Clock.now(), serving.servers.count { unsafe $0.following != nil }
                )
                let pending = serving.list.count + following + intake.withLock { $0.list.count }
                let running = serving.servers.filter { $0.id != 0 }.map { $0.occupant(at: now) }
                return .timedOut(queue: name, running: running, pending: pending)
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
            let now = Clock.now()
            for server in servers where server.id != 0 { server.isSeen(at: now) }
        }
        return waiter
    }

    /// The enqueueing that had this ticket is over. Returns those who waited for it, to be roused
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
