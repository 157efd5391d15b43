// SPDX-License-Identifier: Apache-2.0

import Substrate

// How items are run.
extension WorkQueue {
    /// What a server needs to run an item, without the item.
    @safe
    private struct Start {
        let body: WorkItem.Body
        let payload: UInt
        let run: Worker.Run
        /// The reference by which the queue kept the item.
        let item: Unmanaged<WorkItem>
        /// Whether another server has to be called.
        var calls = false
    }

    /// Runs items as one of the queue's servers, until there are none or others wait for the worker.
    func serve(_ worker: Worker) {
        if isCPUIntensive { worker.blocks() }
        defer { if isCPUIntensive { worker.goesOn() } }
        var next = arrive(worker)
        var count = 0
        while let start = next {
            if start.calls { pool.list(self) }
            run(start, worker)
            count += 1
            next = proceed(worker, goesOn: count % Self.turn != 0 || !pool.isAnyListed)
        }
    }

    /// How many items a server runs before it looks whether another queue waits.
    private static let turn = 64

    private func run(_ start: Start, _ worker: Worker) {
        // From here on the item belongs to those who use it, and may be gone.
        unsafe start.item.release()
        let event = event(start.run.id, start.run.name, start.run.ticket)
        if let event { tracer?.started(event) }
        worker.run(start.run) {
            waitClass.section {
                switch start.body {
                case .plain(let function): function()
                case .withPayload(let function): function(start.payload)
                }
            }
        }
        if let event { tracer?.ended(event) }
    }

    /// Becomes a server, and takes the first item.
    private func arrive(_ worker: Worker) -> Start? {
        serving.withLock { serving in
            intake.withLock { intake -> Start? in
                intake.attendance = .present
                // If the limit was lowered meanwhile, those who are there look.
                guard serving.runs.count < serving.limit else { return nil }
                serving.runs.append(Run(worker: worker.number))
                return take(&serving, serving.runs.count - 1, &intake)
            }
        }
    }

    /// The server's item has ended: takes the next, unless there is none or the server is to go.
    private func proceed(_ worker: Worker, goesOn: Bool) -> Start? {
        var roused: [Waiter.Roused] = []
        var calls = false
        let start: Start? = serving.withLock { serving -> Start? in
            guard let slot = serving.runs.firstIndex(where: { $0.worker == worker.number }) else { return nil }
            serving.runs[slot].id = 0
            roused = serving.end(serving.runs[slot].ticket)
            if unsafe serving.runs[slot].following == nil, !goesOn || serving.runs.count > serving.limit {
                serving.runs.remove(at: slot)
                calls = intake.withLock { attend(&serving, &$0) }
                return nil
            }
            // An only server goes on being the one who looks.
            if serving.limit == 1, serving.runs.count == 1, let item = pick(&serving, slot) {
                return self.start(item, &serving, slot)
            }
            return intake.withLock { intake -> Start? in take(&serving, slot, &intake) }
        }
        roused.forEach { $0.rouse() }
        if calls { pool.list(self) }
        return start
    }

    /// Takes the next item for the server in `slot`. Where there is none, the server goes.
    private func take(_ serving: inout Serving, _ slot: Int, _ intake: inout Intake) -> Start? {
        serving.list.take(&intake.list)
        var start = pick(&serving, slot).map { self.start($0, &serving, slot) }
        if start == nil { serving.runs.remove(at: slot) }
        let calls = attend(&serving, &intake)
        start?.calls = calls
        return start
    }

    /// The next item that can run.
    private func pick(_ serving: inout Serving, _ slot: Int) -> WorkItem? {
        if let following = unsafe serving.runs[slot].following {
            unsafe serving.runs[slot].following = nil
            return following
        }
        while let item = serving.list.popFirst() {
            guard serving.runs.count > 1 else { return item }
            let id = item.id.load()
            guard let other = serving.runs.firstIndex(where: { $0.id == id }) else { return item }
            // It runs, and does not run beside itself.
            unsafe serving.runs[other].following = item
        }
        return nil
    }

    private func start(_ item: WorkItem, _ serving: inout Serving, _ slot: Int) -> Start {
        let (id, ticket) = (item.id.load(), item.record.load().ticket)
        serving.runs[slot].id = id
        serving.runs[slot].ticket = ticket
        serving.runs[slot].name = item.name
        let start = unsafe Start(
            body: item.body, payload: item.payload.load(),
            run: Worker.Run(queue: self, id: id, ticket: ticket, name: item.name, address: ObjectIdentifier(item)),
            item: .passUnretained(item))
        // The last access: from here on it may be enqueued again.
        item.state.bitwiseAnd(ItemState.idleMask, ordering: .acquiringAndReleasing)
        return start
    }

    /// Sees to it that somebody looks at what is enqueued, now or later. Says whether a server has to be called for that.
    func attend(_ serving: inout Serving, _ intake: inout Intake) -> Bool {
        guard intake.attendance != .called else { return false }
        if serving.runs.count >= serving.limit {
            intake.attendance = .present
            return false
        }
        let isAnyPending = !serving.list.isEmpty || !intake.list.isEmpty
        intake.attendance = isAnyPending ? .called : .none
        return isAnyPending
    }

    // MARK: Withdrawing

    /// Takes a pending item out of the queue. False when it is not pending here any more.
    func withdraw(_ item: WorkItem) -> Bool {
        if ItemState.isArmed(item.state.load(ordering: .acquiring)) { return timers.withdraw(item) }
        var roused: [Waiter.Roused] = []
        let payload: UInt? = serving.withLock { serving in
            guard isPendingHere(item, &serving) else { return nil }
            if let slot = serving.runs.firstIndex(where: { unsafe $0.following === item }) {
                unsafe serving.runs[slot].following = nil
            } else {
                serving.list.remove(item)
            }
            let payload = item.payload.load()
            let ticket = item.record.load().ticket
            item.state.bitwiseAnd(ItemState.idleMask, ordering: .acquiringAndReleasing)
            roused = serving.end(ticket)
            return payload
        }
        roused.forEach { $0.rouse() }
        guard let payload else { return false }
        item.letGo(payload)
        return true
    }

    /// Whether the item is in the list, or follows its own run.
    func isPendingHere(_ item: WorkItem, _ serving: inout Serving) -> Bool {
        intake.withLock { intake in
            serving.list.take(&intake.list)
            let state = item.state.load(ordering: .relaxed)
            return ItemState.isPending(state) && !ItemState.isArmed(state) && ItemState.queue(state) == number
        }
    }

    /// Whether the item's function is running here.
    func isRunning(_ item: WorkItem) -> Bool {
        let id = item.knownID
        return id != 0 && serving.withLock { serving in serving.runs.contains { $0.id == id } }
    }
}

extension WorkItem {
    /// Gives back what the queue kept of an item that is not pending any more.
    func letGo(_ payload: UInt) {
        if payload != 0 { discard(payload) }
        unsafe Unmanaged.passUnretained(self).release()
    }
}
