// SPDX-License-Identifier: Apache-2.0

import Substrate

// How items are run.
extension WorkQueue {
    /// What a server does next.
    private struct Step {
        /// Whether it runs something, rather than leave the queue.
        let runs: Bool
        /// Whether another server has to be called.
        let calls: Bool
    }

    /// Makes the worker one of the queue's servers. False when there is nothing to run.
    func begin(_ worker: Worker) -> Bool { whole.write("serve") { call(arrive(worker)) } }

    /// Runs items as one of the queue's servers, of which it has begun one, until there are none or
    /// others wait for the worker.
    func serve(_ worker: Worker) {
        if isCPUIntensive { worker.blocks() }
        var turn = WorkerPool.Turn()
        var goesOn = true
        while goesOn {
            worker.run(of: self)
            pool.noteEnd(of: worker)
            let isOver = pool.isOver(&turn, priority)
            goesOn = whole.write("go on with") { call(proceed(worker, goesOn: !isOver)) }
        }
        if isCPUIntensive { worker.goesOn() }
    }

    /// Calls another server if need be, and says whether there is something to run.
    private func call(_ step: Step) -> Bool {
        if step.calls { pool.list(self) }
        return step.runs
    }

    /// Becomes a server, and takes the first item.
    private func arrive(_ worker: Worker) -> Step {
        serving.withLock { serving in
            intake.withLock { intake in
                intake.attendance = .present
                // If the limit was lowered meanwhile, the servers that are there look.
                guard serving.servers.count < serving.limit else {
                    return Step(runs: false, calls: false)
                }
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
            // Only the barrier ran.
            serving.isBarred = false
            // Mostly nobody waits, and then not even a call is made.
            if !serving.awaited.isEmpty { roused = serving.end(worker.ticket) }
            if unsafe worker.following == nil, !goesOn || serving.servers.count > serving.limit {
                serving.leave(worker)
                Subject.does("leave \(name) to others")
                return Step(runs: false, calls: intake.withLock { attend(&serving, &$0) })
            }
            // An only server goes on being the one that looks.
            if serving.limit == 1, serving.servers.count == 1, pick(&serving, worker) {
                return Step(runs: true, calls: false)
            }
            return intake.withLock { take(&serving, worker, &$0) }
        }
        for each in roused { each.rouse() }
        return step
    }

    /// Takes the next item for a server. Where there is none, the server goes.
    private func take(_ serving: inout Serving, _ worker: Worker, _ intake: inout Intake) -> Step {
        serving.list.take(&intake.list)
        let isFound = pick(&serving, worker)
        if !isFound {
            serving.leave(worker)
            serving.list.becomeQuiet()
            intake.list.becomeQuiet()
            Subject.does(
                serving.list.isEmpty ? "find \(name) empty" : "leave \(name) to its barrier")
        }
        // A server that finds nothing to run has left nothing to be called for.
        return Step(runs: isFound, calls: attend(&serving, &intake))
    }

    /// Starts the next that can run, on the worker. False when there is none.
    private func pick(_ serving: inout Serving, _ worker: Worker) -> Bool {
        if let following = unsafe worker.following {
            unsafe worker.following = nil
            unsafe start(following, worker)
        } else {
            switch serving.popFirst() {
            case .gap: return false
            case .function(let function): worker.prepare(function, ticket: serving.list.lastTaken)
            case .item(let item): unsafe start(item, worker)
            }
        }
        Subject.does("start \(worker.name)")
        if serving.isTimed { worker.starts(at: WorldClock.now()) }
        return true
    }

    private func start(_ item: Unmanaged<WorkItem>, _ worker: Worker) {
        unsafe worker.prepare(item)
        // The last access under the locks: from here on it may be enqueued again.
        _ = unsafe item._withUnsafeGuaranteedRef {
            $0.state.bitwiseAnd(ItemState.idleMask, ordering: .acquiringAndReleasing)
        }
    }

    /// Makes sure that a server looks at what is enqueued, now or later. Returns whether one has
    /// to be called for that.
    func attend(_ serving: inout Serving, _ intake: inout Intake) -> Bool {
        guard intake.attendance != .called else { return false }
        if serving.servers.count >= serving.limit || serving.isHeldUp {
            intake.attendance = .present
            return false
        }
        let isAnyPending = !serving.list.isEmpty || !intake.list.isEmpty
        intake.attendance = isAnyPending ? .called : .none
        return isAnyPending
    }

    // MARK: Withdrawing

    /// Takes a pending item out of the queue, and returns what its function would have been given.
    /// Nil when it is not pending here any more.
    func withdraw(_ item: WorkItem, disabling: Bool) -> UInt? {
        checkGeneration()
        if ItemState.isArmed(item.state.load(ordering: .acquiring)) {
            return timers.withdraw(item, disabling: disabling)
        }
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
                item.endPending(disabling: disabling)
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
            return ItemState.isPending(state) && !ItemState.isArmed(state)
                && ItemState.queue(state) == number
        }
    }

    /// Whether the item's function is running here.
    func isRunning(_ item: WorkItem) -> Bool {
        let id = item.knownID
        // In a forked child nothing runs that ran before.
        guard id != 0, isOfThisProcess else { return false }
        return whole.read("look at") {
            serving.withLock { serving in serving.servers.contains { $0.id == id } }
        }
    }
}

extension WorkQueue.Serving {
    /// Takes the first that can run out of the list. An item that runs does not run beside itself:
    /// it follows.
    ///
    /// Nothing runs while a barrier does, so what is taken here, if anything, is the only one that
    /// `isBarred` is about.
    mutating func popFirst() -> WorkList.Slot {
        while true {
            if isHeldUp { return .gap }
            isBarred = list.isBarrierNext
            let slot = list.popFirst()
            guard servers.count > 1, case .item(let item) = slot else { return slot }
            let id = unsafe item._withUnsafeGuaranteedRef { $0.id.load() }
            guard let other = servers.first(where: { $0.id == id }) else { return slot }
            unsafe other.following = item
        }
    }

    /// Whether the running items have to end before the next begins: one of them is a barrier, or
    /// the next is. The last of them looks again.
    var isHeldUp: Bool { isBarred || list.isBarrierNext && servers.contains { $0.id != 0 } }

    /// Whether a waiter will want to know since when each item runs.
    var isTimed: Bool { awaited.contains { $0.isTimed } }

    mutating func leave(_ worker: Worker) {
        servers.removeAll { $0 === worker }
    }

    /// The server that runs the item, which has been enqueued anew.
    func server(thatIsFollowedBy item: WorkItem) -> Worker? {
        servers.first { server in
            unsafe server.following?._withUnsafeGuaranteedRef { $0 === item } ?? false
        }
    }
}
