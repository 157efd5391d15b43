// SPDX-License-Identifier: Apache-2.0

import Substrate

// Who can run, and what a step leaves behind.
extension Scheduler {
    var objectCount: Int32 { objects.count }

    /// Whether a footprint means the same objects in every execution that has the first `count` objects of this one.
    func areStable(_ footprint: Footprint, among count: Int32) -> Bool {
        for index in 0..<Int(footprint.count) where !objects.isStable(footprint.object(index), among: count) {
            return false
        }
        return true
    }

    /// Whether the next step of `thread` can happen now.
    @inline(__always)
    func isEnabled(_ thread: Int32) -> Bool {
        let index = Int(thread)
        guard threads[index].state == .parked || threads[index].isBuffer else { return false }
        if threads[index].canceller >= 0, isHeldBack(index) { return false }
        switch threads[index].kind {
        case .load, .bufferedStore, .touch: return true
        case .unlock, .signal: return threads[index].buffered == 0
        case .lock: return objects[threads[index].object].owner < 0 && threads[index].buffered == 0
        default: return isEnabledSlow(index)
        }
    }

    @inline(never)
    private func isEnabledSlow(_ index: Int) -> Bool {
        if threads[index].isBuffer { return threads[Int(threads[index].bufferLink)].buffered > 0 }
        switch threads[index].kind {
        case .reacquire:
            if threads[index].isWoken { return objects[threads[index].other].owner < 0 }
            return mayFire(index)
        case .unpark, .fire:
            return threads[index].isWoken || mayFire(index)
        case .readLock:
            let lock = objects[threads[index].object]
            return lock.owner < 0 && (threads[index].prefersReaders || lock.waitingWriters == 0)
                && threads[index].buffered == 0
        case .writeLock:
            let lock = objects[threads[index].object]
            return lock.owner < 0 && lock.readers == 0 && threads[index].buffered == 0
        case .join:
            let target = threads[index].other
            return target < 0 || threads[Int(target)].state == .finished || threads[Int(target)].state == .dead
        case .membarrier:
            return bufferedCount == 0
        case .resume:
            return threads[index].isWoken
        case .readClock, .mark, .census, .arrive:
            return true
        case .job:
            return mayBegin(index)
        case .records:
            return threads[Int(threads[index].other)].canceller < 0
        default:
            // Everything else is, or contains, an instruction that drains the store buffer.
            return threads[index].buffered == 0
        }
    }

    /// Whether the timer of this thread may fire: timers fire in the order of their deadlines.
    private func mayFire(_ index: Int) -> Bool {
        guard threads[index].armed >= 0 else { return false }
        for other in 0..<Int(threadCount)
        where threads[other].state == .parked && threads[other].armed >= 0
            && threads[other].deadline < threads[index].deadline
        {
            return false
        }
        return options.time == .any || !canOthersRun()
    }

    /// Whether somebody can run without time passing.
    private func canOthersRun() -> Bool {
        for other in 0..<threadCount where threads[Int(other)].armed < 0 || threads[Int(other)].isWoken {
            if isEnabled(other) { return true }
        }
        return false
    }

    /// The waiters among which the next step of `thread` chooses, as a set; 0 when it has no choice.
    @inline(__always)
    func choices(of thread: Int32) -> UInt64 {
        guard threads[Int(thread)].kind == .signal || threads[Int(thread)].kind == .wake else { return 0 }
        let waiters = waiters(on: threads[Int(thread)].object)
        return waiters & (waiters &- 1) == 0 ? 0 : waiters
    }

    /// The waiter that a signal wakes when nothing else says which; -1 when there is no choice.
    func firstChoice(of thread: Int32) -> Int32 {
        let waiters = choices(of: thread)
        return waiters == 0 ? -1 : Int32(waiters.trailingZeroBitCount)
    }

    /// The threads that wait on `object`, as a set.
    func waiters(on object: Int32) -> UInt64 {
        guard waiterCount > 0 else { return 0 }
        var set: UInt64 = 0
        for thread in 0..<Int(threadCount)
        where threads[thread].state == .parked && !threads[thread].isWoken && threads[thread].object == object
            && (threads[thread].kind == .reacquire || threads[thread].kind == .unpark)
        {
            guard thread < 64 else {
                fatalError(
                    "a thread that waits on a condition is numbered above 64; explored programs with waits have fewer threads"
                )
            }
            set |= 1 << UInt64(thread)
        }
        return set
    }

    /// The number of the object at `address`, which tells where the next step of the running thread goes.
    @inline(__always)
    func object(at address: UInt, isMade: Bool = false) -> Int32 {
        let (object, isNew) = objects.find(address, by: current, isMade: isMade)
        if isNew, !storages.isEmpty { adopt(object) }
        return object
    }

    private func adopt(_ object: Int32) {
        guard let block = storages.block(at: objects[object].address) else { return }
        if objects[object].address == storages[block].exempt { return }
        objects[object].storage = Int32(block)
        guard isRecordingTrace else { return }
        // For want of a better name: where it is in what it is part of.
        let offset = objects[object].address - storages[block].base
        labels[object] = offset == 0 ? storages[block].name : "\(storages[block].name)+\(offset)"
        needsTidying = true
    }

    /// What a step of `thread` on its object touches.
    @inline(__always)
    func footprint(_ object: Int32, writes: Bool) -> Footprint {
        var footprint = Footprint()
        footprint.add(object, writes: writes)
        guard object >= 0 else { return footprint }
        if objects[object].storage >= 0 {
            footprint.add(storages[Int(objects[object].storage)].lifetime, writes: false)
        }
        // Those who operate on the whole touch the part.
        if objects[object].subject >= 0 { footprint.add(objects[object].subject, writes: writes) }
        return footprint
    }

    /// Whether this step repeats the last execution's, so that all about it is known. Then it is done.
    @inline(__always)
    func repeats(_ thread: Int32, _ kind: StepKind, _ object: Int32) -> Bool {
        guard steps < replayedSteps, !jobs.isUsed, !isWatchedClosely else { return false }
        guard strategy.with({ $0.repeats(thread, kind, object) }) else { return false }
        threads[Int(thread)].repeatStep(at: Int32(truncatingIfNeeded: steps))
        choice = -1
        steps += 1
        return true
    }

    /// Whether a step has consequences beyond its event.
    private var isWatchedClosely: Bool {
        mode != .exploring || recorder != nil || spinnerCount > 0 || !storages.isEmpty
    }

    /// A step of `thread` happened. Returns its position.
    @discardableResult
    @inline(__always)
    func commit(_ event: Event, site: Site) -> Int32 {
        var event = event
        let thread = Int(event.thread)
        if jobs.isUsed { addJobs(to: &event) }
        let position = Int32(truncatingIfNeeded: steps)
        threads[thread].take(&event, at: position)
        event.choice = choice
        choice = -1
        steps += 1
        if jobs.isUsed { lastEvent = event }
        if recorder != nil {
            recorder!.step(event, object: threads[thread].object, other: threads[thread].other, site: site)
        }
        if mode == .exploring {
            if let divergence = strategy.with({ $0.committed(event) }) { diverge(divergence) }
        }
        if spinnerCount > 0 { wakeSpinners(event) }
        if !storages.isEmpty { checkLifetimes(event) }
        return position
    }

    /// The numbers of the threads that have started: a step, since others may be starting.
    func startedThreads(_ site: Site) -> [UInt32] {
        wantedDetail.threads = true
        if joinOperation() {
            touch(ObjectTable.threads, writes: false)
        } else if mode == .exploring || mode == .finishing {
            let thread = current
            threads[Int(thread)].kind = .census
            threads[Int(thread)].object = ObjectTable.threads
            park(thread)
            if mode != .draining {
                var event = Event(thread: thread, kind: .census)
                event.footprint.add(ObjectTable.threads, writes: false)
                commit(event, site: site)
            }
        }
        return (0..<spawned.count).map { UInt32(spawned[$0]) + 1 }
    }

    // MARK: Spinning

    func beginSpin() {
        guard mode == .exploring || mode == .finishing else { return }
        let thread = Int(current)
        suspendOperation(of: current)
        if !threads[thread].isSpinning { spinnerCount += 1 }
        threads[thread].isSpinning = true
        threads[thread].isWoken = false
        spinReads[thread].removeAll(keepingCapacity: true)
    }

    func waitInSpin(_ site: Site) {
        let thread = current
        guard mode == .exploring || mode == .finishing else {
            if mode == .draining { drainStep(thread) }
            return
        }
        threads[Int(thread)].kind = .resume
        threads[Int(thread)].object = spinReads[Int(thread)].first ?? -1
        park(thread)
        if mode == .draining { return }
        var event = Event(thread: thread, kind: .resume)
        for object in spinReads[Int(thread)] { event.footprint.add(object, writes: false) }
        commit(event, site: site)
    }

    private func wakeSpinners(_ event: Event) {
        let own = Int(event.thread)
        if threads[own].isSpinning, !threads[own].isWoken {
            for index in 0..<Int(event.footprint.count)
            where !spinReads[own].contains(event.footprint.object(index)) {
                spinReads[own].append(event.footprint.object(index))
            }
            if spinReads[own].count > Footprint.capacity {
                fail(.misuse, "the condition of a spin loop reads more than \(Footprint.capacity) objects")
                spinReads[own].removeLast()
            }
        }
        guard !event.isSilent else { return }
        for thread in 0..<Int(threadCount)
        where thread != own && threads[thread].isSpinning && !threads[thread].isWoken {
            for index in 0..<Int(event.footprint.count)
            where (event.footprint.writes(index) || event.kind == .readUnlock)
                && spinReads[thread].contains(event.footprint.object(index))
            {
                threads[thread].isWoken = true
            }
        }
    }

    func endSpin() {
        guard mode == .exploring || mode == .finishing else { return }
        threads[Int(current)].isSpinning = false
        spinnerCount -= 1
    }

    // MARK: Blocked at the end

    /// Remembers the step that each blocked thread would have taken: the reduction must reverse its races too.
    func noteBlocked() {
        for thread in 0..<threadCount where threads[Int(thread)].state == .parked && !threads[Int(thread)].isBuffer {
            guard !isEnabled(thread) else { continue }
            let record = threads[Int(thread)]
            var event = Event(thread: thread, kind: record.kind)
            event.previous = record.last
            event.enabler = record.enabler
            event.deadline = record.isTimedOut ? 0 : record.deadline
            switch record.kind {
            case .lock, .writeLock: event.footprint = footprint(record.object, writes: true)
            case .readLock: event.footprint = footprint(record.object, writes: false)
            case .reacquire where record.isWoken: event.footprint = footprint(record.other, writes: true)
            default: continue
            }
            blockedSteps.append(event)
        }
    }
}
