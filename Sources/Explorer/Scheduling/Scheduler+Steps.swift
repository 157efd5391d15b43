// SPDX-License-Identifier: Apache-2.0

import Substrate

// Which threads can run, and what a step leaves behind.
extension Scheduler {
    /// Whether a footprint means the same objects in every execution that has the first `count`
    /// objects of this one.
    @inline(__always)
    func areStable(_ footprint: Footprint, among count: Int32) -> Bool {
        for index in 0..<Int(footprint.count)
        where !objects.isStable(footprint.object(index), among: count) {
            return false
        }
        return true
    }

    /// Whether the next step of `thread` can happen now.
    @inline(__always)
    func isEnabled(_ thread: Int32) -> Bool {
        let index = Int(thread)
        guard threads[index].state == .parked || threads[index].isBuffer else { return false }
        switch threads[index].kind {
        case .load, .bufferedStore, .touch: return true
        case .store, .update, .compareExchange, .unlock, .signal:
            return threads[index].buffered == 0
        case .lock:
            return objects[threads[index].object].lock.owner < 0 && threads[index].buffered == 0
        default: return isEnabledSlow(index)
        }
    }

    @inline(never)
    private func isEnabledSlow(_ index: Int) -> Bool {
        if threads[index].isBuffer { return threads[threads[index].bufferLink].buffered > 0 }
        let thread = Int32(truncatingIfNeeded: index)
        switch threads[index].kind {
        case .join:
            let target = threads[index].other
            return target < 0 || threads[target].state == .finished
                || threads[target].state == .dead
        case .resume:
            return threads[index].isWoken
        case .job:
            return mayBegin(index)
        case .records:
            return mayLockRecords(index)
        case let kind:
            // What is, or contains, an instruction that drains the store buffer waits until it is
            // empty.
            return (threads[index].buffered == 0 || !kind.drains)
                && threads[index].step(of: thread).isEnabled(in: self)
        }
    }

    /// The waiters among which the next step of `thread` chooses, as a set; 0 when it has no
    /// choice.
    @inline(__always)
    func choices(of thread: Int32) -> UInt64 {
        guard threads[thread].kind == .signal || threads[thread].kind == .wake else {
            return 0
        }
        return threads[thread].step(of: thread).choices(in: self)
    }

    /// The waiter that a signal wakes when nothing else says which; -1 when there is no choice.
    func firstChoice(of thread: Int32) -> Int32 {
        let waiters = choices(of: thread)
        return waiters == 0 ? -1 : Int32(waiters.trailingZeroBitCount)
    }

    /// Takes the step that `thread` waited for, which it was picked to do: its objects change, and
    /// its event is committed.
    @discardableResult
    @inline(__always)
    func take(_ thread: Int32, _ site: Site, closing opener: Int32 = -1) -> Step.Effect {
        let step = threads[thread].step(of: thread)
        let position = Int32(truncatingIfNeeded: steps)
        let effect = step.apply(to: self, choosing: choice, at: position)
        var event = Event(step)
        event.kind = effect.kind
        event.footprint = effect.footprint
        event.traits.set(.acquires, effect.acquires)
        event.traits.set(.waits, effect.waits)
        // A try that fails changes nothing.
        event.traits.set(
            .silent,
            !effect.acquires
                && (step.kind == .tryLock || step.kind == .tryReadLock
                    || step.kind == .tryWriteLock)
        )
        event.opener = opener
        event.traits.set(.mayGrow, step.mayGrow && !(step.kind == .park && effect.waits))
        if step.kind == .park { event.old = word(step.object) }
        if effect.waits || step.kind == .arm { noteBlockingTask(thread, site) }
        if recorder != nil, step.kind == .signal || step.kind == .broadcast || step.kind == .wake {
            recorder!.wokenNames = names(ofThreads: effect.woken)
        }
        commit(event, site: site)
        var woken = effect.woken
        while woken != 0 {
            let waiter = woken.trailingZeroBitCount
            woken &= woken - 1
            threads[waiter].isWoken = true
            threads[waiter].enabler = position
        }
        return effect
    }

    /// The number of the object at `address`, which tells where the next step of the running thread
    /// goes.
    @inline(__always)
    func object(at address: UInt, isMade: Bool = false) -> Int32 {
        let (object, isNew) = objects.find(address, by: current, isMade: isMade)
        if isNew, !storages.isEmpty { adopt(object) }
        return object
    }

    func adopt(_ object: Int32) {
        guard let block = storages.block(at: objects[object].address) else { return }
        if objects[object].address == storages[block].exempt { return }
        objects[object].storage = Int32(block)
        objects[object].lifetime = storages[block].lifetime
        guard isRecordingTrace else { return }
        // For want of a better name: where it is in what it is part of.
        let offset = objects[object].address - storages[block].base
        names[object] = offset == 0 ? storages[block].name : "\(storages[block].name)+\(offset)"
    }

    /// What an access of an object touches.
    @inline(__always)
    func footprint(_ object: Int32, writes: Bool) -> Footprint {
        var footprint = Footprint()
        touch(object, writes: writes, &footprint)
        return footprint
    }

    /// Whether the next step is the last execution's, `thread` takes it, and it is an access of one
    /// object. Then no thread has to be picked. (A thread that runs to its first step is not next:
    /// its starter goes on first.)
    @inline(__always)
    func isNext(_ thread: Int32) -> Bool {
        steps < replayedSteps && history[steps].thread == thread && history[steps].detail < 0
            && threads[thread].starter < 0
    }

    /// Whether this step repeats the last execution's, so that all about it is known. Then it is
    /// done.
    @inline(__always)
    func repeats(_ thread: Int32, _ kind: StepKind, _ object: Int32) -> Bool {
        guard steps < replayedSteps, isPlain, history.isStep(steps, of: thread, kind, object)
        else { return false }
        noteRepeated(thread)
        return true
    }

    /// The step that a thread takes is the last execution's.
    @inline(__always)
    func noteRepeated(_ thread: Int32) {
        threads[thread].repeatStep(at: Int32(truncatingIfNeeded: steps))
        choice = -1
        steps &+= 1
    }

    /// A step of `thread` happened that accesses one object, and of which nothing else is to be
    /// told.
    @inline(__always)
    func commitAccess(
        _ thread: Int32, _ kind: StepKind, _ object: Int32, writes: Bool, _ traits: Event.Traits
    ) {
        let previous = threads[thread].handsOn
        threads[thread].last = Int32(truncatingIfNeeded: steps)
        history.append(kind, by: thread, of: object, writes: writes, traits, after: previous)
        choice = -1
        steps &+= 1
    }

    /// Whether the next step of `thread`, which is an access of `object`, is new and no more than
    /// that.
    @inline(__always)
    func isAccess(_ thread: Int32, _ object: Int32) -> Bool {
        isPlain && keepsHistory && steps >= replayedSteps && !jobs.isUsed
            && threads[thread].isPlain && threads[thread].enabler < 0
            && objects[object].standsAlone
    }

    /// A step of `thread` happened. Returns its position.
    @discardableResult
    @inline(__always)
    func commit(_ event: Event, site: Site) -> Int32 {
        var event = event
        let thread = Int(event.thread)
        if jobs.isUsed, event.kind != .tick { addJobs(to: &event) }
        if event.kind == .operation || options.reusesAddresses && reachesSecondLife(event)
            || jobs.isUsed && isDeclared
        {
            event.traits.formUnion([.vague, .mayGrow])
        }
        let position = Int32(truncatingIfNeeded: steps)
        threads[thread].take(&event, at: position)
        // What happens after time has passed comes after all that happened before.
        if clock.lastTick > max(event.previous, event.enabler, event.cause) {
            event.cause = clock.lastTick
        }
        event.choice = choice
        choice = -1
        steps += 1
        if jobs.isUsed { lastEvent = event }
        if recorder != nil {
            recorder!.step(
                event, object: threads[thread].object, other: threads[thread].other, site: site)
        }
        if mode == .exploring {
            if let divergence = strategy.with({ $0.committed(event, at: Int(position)) }) {
                diverge(divergence)
            }
        }
        if !keepsHistory { lookForEnds(event) }
        changes.removeAll()
        if spins.count > 0 { wakeSpinners(event) }
        if !storages.isEmpty { checkLifetimes(event) }
        return position
    }

    /// The numbers of the threads that have started: a step, since others may be starting.
    func startedThreads(_ site: Site) -> [UInt32] {
        wanted.steps.threads = true
        if joinOperation() {
            touch(ObjectTable.threads, writes: false)
        } else if mode == .exploring || mode == .finishing {
            let thread = current
            threads[thread].kind = .census
            threads[thread].object = ObjectTable.threads
            park(thread)
            if mode != .draining {
                var event = Event(thread: thread, kind: .census)
                event.footprint.add(ObjectTable.threads, writes: false)
                commit(event, site: site)
            }
        }
        return (0..<threads.started.count).map { UInt32(threads.started[$0]) + 1 }
    }

    // MARK: Blocked at the end

    /// Remembers the step that each blocked thread would have taken: the reduction must reverse its
    /// races too.
    func noteBlocked() {
        for thread in 0..<threads.count
        where threads[thread].state == .parked && !threads[thread].isBuffer {
            guard !isEnabled(thread) else { continue }
            let record = threads[thread]
            var event = Event(record.step(of: thread))
            event.previous = record.handsOn
            event.enabler = record.enabler
            event.cause = clock.lastTick > max(event.previous, event.enabler) ? clock.lastTick : -1
            switch record.kind {
            case .lock, .writeLock: event.footprint = footprint(record.object, writes: true)
            case .machine: event.footprint = footprint(record.object, writes: true)
            case .readLock: event.footprint = footprint(record.object, writes: false)
            case .reacquire where record.isWoken:
                event.footprint = footprint(record.other, writes: true)
            default: continue
            }
            blockedSteps.append(event)
        }
    }
}
