// SPDX-License-Identifier: Apache-2.0

import Substrate

// How items are run.
extension WorkQueue {
    /// What a server does next.
    private enum Step {
        /// Leaves the queue.
        case leave
        case run
        /// Runs, and another server has to be called.
        case runAndCall
        /// Leaves, and another server has to be called.
        case leaveAndCall
    }

    /// Has the worker be one of the queue's servers. False when there is nothing to run.
    func begin(_ worker: Worker) -> Bool { whole.write("serve") { call(arrive(worker)) } }

    /// Runs items as one of the queue's servers, of which it has begun one, until there are none or others wait for the worker.
    func serve(_ worker: Worker) {
        if isCPUIntensive { worker.blocks() }
        var turn = WorkerPool.Turn()
        var goesOn = true
        while goesOn {
            worker.run(of: self)
            let isOver = pool.isOver(&turn, priority)
            goesOn = whole.write("go on with") { call(proceed(worker, goesOn: !isOver)) }
        }
        if isCPUIntensive { worker.goesOn() }
    }

    /// Calls another server if need be, and says whether there is something to run.
    private func call(_ step: Step) -> Bool {
        if step == .runAndCall || step == .leaveAndCall { pool.list(self) }
        return step == .run || step == .runAndCall
    }

    /// Becomes a server, and takes the first item.
    private func arrive(_ worker: Worker) -> Step {
        serving.withLock { serving in
            intake.withLock { intake in
                intake.attendance = .present
                // If the limit was lowered meanwhile, those who are there look.
                guard serving.servers.count < serving.limit else { return .leave }
                serving.servers.append(worker)
                return take(&serving, worker, &intake)
            }
        }
    }

    /// The server's item has ended: takes the next, unless there is none or the server is to go.
    private func proceed(_ worker: Worker, goesOn: Bool) -> Step {
        var roused: [Waiter.Roused] = []
        let step: Step = serving.withLock { serving in
            worker.id = 0
            if !serving.awaited.isEmpty { roused = serving.end(worker.ticket) }
            if unsafe worker.following == nil, !goesOn || serving.servers.count > serving.limit {
                serving.leave(worker)
                return intake.withLock { attend(&serving, &$0) } ? .leaveAndCall : .leave
            }
            // An only server goes on being the one who looks.
            if serving.limit == 1, serving.servers.count == 1, pick(&serving, worker) { return .run }
            return intake.withLock { take(&serving, worker, &$0) }
        }
        for each in roused { each.rouse() }
        return step
    }

    /// Takes the next item for a server. Where there is none, the server goes.
    private func take(_ serving: inout Serving, _ worker: Worker, _ intake: inout Intake) -> Step {
        serving.list.take(&intake.list)
        let isFound = pick(&serving, worker)
        if !isFound { serving.leave(worker) }
        let calls = attend(&serving, &intake)
        return isFound ? calls ? .runAndCall : .run : .leave
    }

    /// Has the worker start the next that can run. False when there is none.
    private func pick(_ serving: inout Serving, _ worker: Worker) -> Bool {
        if let following = unsafe worker.following {
            unsafe worker.following = nil
            unsafe start(following, worker)
            return true
        }
        while true {
            switch serving.list.popFirst() {
            case .gap: return false
            case .function(let function):
                worker.prepare(function, ticket: serving.list.lastTaken)
                return true
            case .item(let item):
                if serving.servers.count > 1 {
                    let id = unsafe item._withUnsafeGuaranteedRef { $0.id.load() }
                    if let other = serving.servers.first(where: { $0.id == id }) {
                        // It runs, and does not run beside itself.
                        unsafe other.following = item
                        continue
                    }
                }
                unsafe start(item, worker)
                return true
            }
        }
    }

    private func start(_ item: Unmanaged<WorkItem>, _ worker: Worker) {
        unsafe worker.prepare(item)
        // The last access under the locks: from here on it may be enqueued again.
        _ = unsafe item._withUnsafeGuaranteedRef {
            $0.state.bitwiseAnd(ItemState.idleMask, ordering: .acquiringAndReleasing)
        }
    }

    /// Sees to it that somebody looks at what is enqueued, now or later. Says whether a server has to be called for that.
    func attend(_ serving: inout Serving, _ intake: inout Intake) -> Bool {
        guard intake.attendance != .called else { return false }
        if serving.servers.count >= serving.limit {
            intake.attendance = .present
            return false
        }
        let isAnyPending = !serving.list.isEmpty || !intake.list.isEmpty
        intake.attendance = isAnyPending ? .called : .none
        return isAnyPending
    }

    // MARK: Withdrawing

    /// Takes a pending item out of the queue, and returns what its function would have been given. Nil when it is not pending here any
    /// more.
    func withdraw(_ item: WorkItem) -> UInt? {
        if ItemState.isArmed(item.state.load(ordering: .acquiring)) { return timers.withdraw(item) }
        return whole.write("cancel on") {
            var roused: [Waiter.Roused] = []
            let payload: UInt? = serving.withLock { serving in
                guard isPendingHere(item, &serving) else { return nil }
                let ticket = item.ticket.load()
                if let server = serving.server(thatIsFollowedBy: item) {
                    unsafe server.following = nil
                } else {
                    serving.list.remove(ticket)
                }
                let payload = item.payload.load()
                item.state.bitwiseAnd(ItemState.idleMask, ordering: .acquiringAndReleasing)
                roused = serving.end(ticket)
                return payload
            }
            for each in roused { each.rouse() }
            return payload
        }
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
        guard id != 0 else { return false }
        return whole.read("look at") { serving.withLock { serving in serving.servers.contains { $0.id == id } } }
    }
}

extension WorkQueue.Serving {
    mutating func leave(_ worker: Worker) {
        servers.removeAll { $0 === worker }
    }

    /// The server that runs the item, which has been enqueued anew.
    func server(thatIsFollowedBy item: WorkItem) -> Worker? {
        servers.first { server in unsafe server.following?._withUnsafeGuaranteedRef { $0 === item } ?? false }
    }
}
