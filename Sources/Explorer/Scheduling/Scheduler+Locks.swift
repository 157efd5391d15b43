// SPDX-License-Identifier: Apache-2.0

import Substrate

// Locks, and the operations that wait.
extension Scheduler {
    func performOperation(_ operation: Operation) -> Bool {
        let thread = current
        switch mode {
        case .exploring, .finishing: break
        case .draining:
            drainStep(thread)
            return true
        case .afterwards:
            return performAfterwards(operation)
        case .idle: return true
        }
        var operation = operation
        switch mutant?.effect(on: operation.kind, operation.site) {
        case .skipped: return true
        case .relaxed: operation.order = .relaxed
        default: break
        }
        let index = Int(thread)
        if threads[index].operations > 0 {
            if !Self.canBePart(operation.kind) {
                suspendOperation(of: thread)
            } else if joinOperation(), let result = performWithin(operation) {
                return result
            }
            if mode == .draining { return true }
        }
        threads[index].order = operation.order
        threads[index].prefersReaders = operation.prefersReaders
        threads[index].other = -1
        threads[index].object = -1
        if recorder != nil {
            pendingSites[index] = operation.site
            needsTidying = true
        }
        switch operation.kind {
        case .readLock, .tryReadLock, .readUnlock, .writeLock, .tryWriteLock, .writeUnlock:
            return readerWriterLock(thread, operation)
        case .wait: return wait(thread, operation)
        case .signal, .broadcast: notify(thread, operation)
        case .parkWhile: return parkWhile(thread, operation)
        case .wake: wake(thread, operation)
        case .join: join(thread, operation)
        case .sleep: sleep(thread, operation)
        case .fence: fence(thread, operation)
        case .membarrier: barrier(thread, operation)
        case .free: free(thread, operation)
        case .plainRead: access(thread, operation, writes: false)
        case .plainWrite: access(thread, operation, writes: true)
        default: break
        }
        return true
    }

    // MARK: Mutex

    @inline(__always)
    func performMutex(_ operation: OperationKind, _ address: UInt, _ site: Site) -> Bool {
        guard isPlain, threads[current].isPlain, operation != .tryLock else {
            return watchedMutex(operation, address, site)
        }
        let thread = current
        let kind: StepKind = operation == .lock ? .lock : .unlock
        let lock = objects.find(address, by: thread).object
        if !isNext(thread) {
            threads[thread].object = lock
            threads[thread].other = -1
            threads[thread].kind = kind
            awaitAccess(thread)
        }
        if isPlain, kind == .lock || objects[lock].lock.owner == thread {
            if repeatsAccess(thread, kind, lock) {
                change(lock, kind, by: thread, at: steps &- 1)
            } else {
                takeMutex(thread, kind, lock, site)
            }
            if attention.races { noteTransfer(of: lock, by: thread, kind) }
            return true
        }
        return endMutex(thread, kind, lock, site)
    }

    @inline(never)
    private func noteTransfer(of lock: Int32, by thread: Int32, _ kind: StepKind) {
        if kind == .unlock { publish(lock, by: thread) } else { acquire(lock, by: thread, kind) }
    }

    @inline(never)
    private func watchedMutex(_ operation: OperationKind, _ address: UInt, _ site: Site) -> Bool {
        switch mode {
        case .exploring, .finishing: break
        case .draining:
            drainStep(current)
            return true
        case .afterwards: return mutexAfterwards(operation, address, site)
        case .idle: return true
        }
        if case .skipped = mutant?.effect(on: operation, site) { return true }
        if threads[current].operations > 0 {
            if joinOperation(), let result = mutexWithin(operation, object(at: address)) {
                return result
            }
            if mode == .draining { return true }
        }
        if recorder != nil {
            pendingSites[Int(current)] = site
            needsTidying = true
        }
        return stepMutex(operation, address, site)
    }

    /// What a mutex is asked as a step of its own.
    private func stepMutex(_ operation: OperationKind, _ address: UInt, _ site: Site) -> Bool {
        let thread = current
        let lock = object(at: address)
        let kind: StepKind =
            operation == .lock ? .lock : operation == .unlock ? .unlock : .tryLock
        threads[thread].object = lock
        threads[thread].other = -1
        threads[thread].kind = kind
        park(thread)
        return endMutex(thread, kind, lock, site)
    }

    /// The running thread was picked for what it asks of a mutex.
    @inline(never)
    private func endMutex(_ thread: Int32, _ kind: StepKind, _ lock: Int32, _ site: Site) -> Bool {
        if mode == .draining { return true }
        if kind == .unlock, objects[lock].lock.owner != thread {
            fail(
                .misuse,
                "\(name(ofThread: thread)) unlocked \(name(of: lock)), which it does not hold")
        }
        var succeeds = true
        if kind == .tryLock {
            succeeds = take(thread, site).succeeds
        } else if repeats(thread, kind, lock) {
            change(lock, kind, by: thread, at: steps &- 1)
        } else {
            takeMutex(thread, kind, lock, site)
        }
        if succeeds { noteTransfer(of: lock, by: thread, kind) }
        return succeeds
    }

    /// As `take` does, without asking what kind of step it is.
    @inline(__always)
    private func takeMutex(_ thread: Int32, _ kind: StepKind, _ lock: Int32, _ site: Site) {
        let traits: Event.Traits = kind == .lock ? .acquires : []
        if isAccess(thread, lock) {
            change(lock, kind, by: thread, at: steps)
            commitAccess(thread, kind, lock, writes: true, traits)
            history.addVersion(StateChange(object: lock, state: objects[lock].lock.bits))
            return
        }
        takeWatchedMutex(thread, kind, lock, traits, site)
    }

    @inline(never)
    private func takeWatchedMutex(
        _ thread: Int32, _ kind: StepKind, _ lock: Int32, _ traits: Event.Traits, _ site: Site
    ) {
        var event = Event(threads[thread].step(of: thread))
        event.traits = traits
        noteMutex(lock, kind, by: thread)
        touch(lock, writes: true, &event.footprint)
        commit(event, site: site)
    }

    /// A mutex is taken or given back at `position`.
    @inline(__always)
    private func change(_ lock: Int32, _ kind: StepKind, by thread: Int32, at position: Int) {
        if kind == .unlock {
            objects[lock].lock.free()
        } else {
            objects[lock].lock.hold(thread, Int32(truncatingIfNeeded: position))
        }
    }

    /// A mutex is taken or given back by the step that is being taken.
    func noteMutex(_ lock: Int32, _ kind: StepKind, by thread: Int32) {
        var state = objects[lock].lock
        _ = state.apply(
            kind, by: thread, prefersReaders: false, at: Int32(truncatingIfNeeded: steps))
        set(lock, state)
    }

    /// What stands for the releases of a lock's readers, who publish to writers and not to each
    /// other.
    private func readersRow(of lock: Int32) -> Int32 { objects.companion(of: lock, 2) }

    /// `thread`, which holds the lock alone, sees what the last holder did, and what readers did
    /// before.
    func acquire(_ lock: Int32, by thread: Int32, _ kind: StepKind) {
        guard attention.races else { return }
        sync.load(thread, lock, .acquiring)
        switch kind {
        case .lock, .tryLock, .reacquire: break
        default: sync.load(thread, readersRow(of: lock), .acquiring)
        }
    }

    /// `thread` has given the lock back.
    func publish(_ lock: Int32, by thread: Int32) {
        if attention.races { sync.store(thread, lock, .releasing) }
    }

    // MARK: Reader-writer lock

    private func readerWriterLock(_ thread: Int32, _ operation: Operation) -> Bool {
        let index = Int(thread)
        let lock = object(at: operation.object)
        threads[index].object = lock
        /// Waits for its turn, and takes the step. Nil when the thread is being drained.
        func step(_ kind: StepKind, closing opener: () -> Int32 = { -1 }) -> Step.Effect? {
            threads[index].kind = kind
            park(thread)
            return mode == .draining ? nil : take(thread, operation.site, closing: opener())
        }
        switch operation.kind {
        case .readLock, .tryReadLock:
            guard let effect = step(operation.kind == .readLock ? .readLock : .tryReadLock) else {
                return true
            }
            guard effect.acquires else { return false }
            needsTidying = true
            readSections.append(ReadSection(lock: lock, thread: thread, event: threads[index].last))
            if attention.races { sync.load(thread, lock, .acquiring) }
        case .readUnlock:
            threads[index].kind = .readUnlock
            park(thread)
            if mode == .draining { return true }
            guard
                let section = readSections.lastIndex(where: {
                    $0.lock == lock && $0.thread == thread
                })
            else {
                fail(
                    .misuse,
                    "\(name(ofThread: thread)) ended a read of \(name(of: lock)) that it did not begin"
                )
                return true
            }
            take(thread, operation.site, closing: readSections.remove(at: section).event)
            // Readers publish to the next writer, not to each other; a writer's store replaces all
            // of it.
            if attention.races { sync.update(thread, readersRow(of: lock), .releasing) }
        case .writeLock:
            // A writer that must wait arrives first: readers that come later wait behind it.
            if !operation.prefersReaders {
                guard let arrival = step(.writeRequest) else { return true }
                if arrival.acquires {
                    acquire(lock, by: thread, .writeLock)
                    return true
                }
            }
            guard step(.writeLock) != nil else { return true }
            acquire(lock, by: thread, .writeLock)
        case .tryWriteLock:
            guard let effect = step(.tryWriteLock) else { return true }
            guard effect.acquires else { return false }
            acquire(lock, by: thread, .tryWriteLock)
        default:
            threads[index].kind = .writeUnlock
            park(thread)
            if mode == .draining { return true }
            if objects[lock].lock.owner != thread {
                fail(
                    .misuse,
                    "\(name(ofThread: thread)) ended a write of \(name(of: lock)) that it did not begin"
                )
            }
            take(thread, operation.site)
            publish(lock, by: thread)
        }
        return true
    }

    // MARK: Condition

    private func wait(_ thread: Int32, _ operation: Operation) -> Bool {
        let index = Int(thread)
        let condition = object(at: operation.object)
        let lock = object(at: operation.other)
        threads[index].object = condition
        threads[index].other = lock
        threads[index].deadline = operation.deadline
        guard mayWait(thread) else { return true }
        threads[index].kind = .wait
        park(thread)
        if mode == .draining { return true }
        if objects[lock].lock.owner != thread {
            fail(
                .misuse,
                "\(name(ofThread: thread)) waited with \(name(of: lock)), which it does not hold")
        }
        take(thread, operation.site)
        publish(lock, by: thread)
        threads[index].kind = .reacquire
        guard let isInTime = endWait(thread, operation.site) else { return true }
        acquire(lock, by: thread, .reacquire)
        return isInTime
    }

    /// Whether the thread's number has a place in the sets of waiters.
    private func mayWait(_ thread: Int32) -> Bool {
        if thread < WaiterState.limit { return true }
        fail(
            .misuse,
            "\(name(ofThread: thread)) waits, and only the first \(WaiterState.limit) threads of an exploration can"
        )
        return false
    }

    /// Waits for a wake-up, or the deadline. Nil when the thread is being drained, else whether it
    /// was woken in time.
    private func endWait(_ thread: Int32, _ site: Site) -> Bool? {
        let index = Int(thread)
        threads[index].isWoken = false
        threads[index].isTimedOut = false
        while true {
            park(thread)
            if mode == .draining {
                disarm(index)
                return nil
            }
            guard take(thread, site).kind == .timeout else { return !threads[index].isTimedOut }
            time = max(time, threads[index].deadline)
            threads[index].isTimedOut = true
            threads[index].isWoken = true
            if threads[index].kind == .unpark { return false }
        }
    }

    func disarm(_ index: Int) {
        guard threads[index].armed >= 0 else { return }
        threads[index].armed = -1
        timerCount -= 1
    }

    private func notify(_ thread: Int32, _ operation: Operation) {
        let condition = object(at: operation.object)
        wakeUp(
            thread, condition, operation.kind == .broadcast ? .broadcast : .signal, operation.site)
    }

    /// Wakes one waiter of `object`, which the schedule chooses, or all.
    private func wakeUp(_ thread: Int32, _ object: Int32, _ kind: StepKind, _ site: Site) {
        threads[thread].object = object
        threads[thread].kind = kind
        park(thread)
        if mode != .draining { take(thread, site) }
    }

    // MARK: Wait point

    private func parkWhile(_ thread: Int32, _ operation: Operation) -> Bool {
        let index = Int(thread)
        let word = object(at: operation.object)
        let queue = objects.companion(of: word, 1)
        threads[index].object = word
        threads[index].other = queue
        threads[index].expected = Bits(low: operation.operand.low)
        trackWords()
        guard mayWait(thread) else { return true }
        threads[index].deadline = operation.deadline
        threads[index].kind = .park
        park(thread)
        if mode == .draining { return true }
        guard take(thread, operation.site).waits else { return true }
        threads[index].object = queue
        threads[index].kind = .unpark
        threads[index].isIdle = operation.isIdle
        defer { threads[index].isIdle = false }
        return endWait(thread, operation.site) ?? true
    }

    private func wake(_ thread: Int32, _ operation: Operation) {
        let queue = objects.companion(of: object(at: operation.object), 1)
        let count = operation.operand.low
        // More than one, but not all, is one after the other.
        if count == 0 { return }
        if count >= 64 { return wakeUp(thread, queue, .broadcast, operation.site) }
        for _ in 0..<count { wakeUp(thread, queue, .wake, operation.site) }
    }

    // MARK: Join, time, fences

    private func join(_ thread: Int32, _ operation: Operation) {
        let target = Int32(truncatingIfNeeded: Int(bitPattern: operation.other))
        threads[thread].other = target
        threads[thread].kind = .join
        // It could not be started any more.
        if target < 0 { return }
        if threads[target].state == .parked { noteBlockingTask(thread, operation.site) }
        park(thread)
        if mode == .draining { return }
        threads[thread].enabler = threads[target].handsOn
        commit(Event(thread: thread, kind: .join), site: operation.site)
        if attention.races { sync.join(thread, with: target) }
    }

    private func sleep(_ thread: Int32, _ operation: Operation) {
        let index = Int(thread)
        threads[index].object = ObjectTable.clock
        threads[index].deadline = operation.deadline
        threads[index].kind = .arm
        park(thread)
        if mode == .draining { return }
        take(thread, operation.site)
        threads[index].isWoken = false
        threads[index].kind = .fire
        park(thread)
        if mode == .draining { return disarm(index) }
        take(thread, operation.site, closing: threads[index].armed)
        time = max(time, operation.deadline)
    }

    func readClock(_ site: Site) -> UInt64 {
        guard mode == .exploring || mode == .finishing else { return time }
        let thread = current
        if joinOperation() {
            if hasOrderedTime { touch(ObjectTable.clock, writes: false) }
            return time
        }
        if mode == .draining { return time }
        threads[thread].object = ObjectTable.clock
        threads[thread].kind = .readClock
        park(thread)
        if mode == .draining { return time }
        take(thread, site)
        return time
    }

    private func fence(_ thread: Int32, _ operation: Operation) {
        if attention.races { sync.fence(thread, operation.order) }
        // Only a full fence drains the store buffer; for a thread that has none it is no step.
        guard operation.order == .sequentiallyConsistent, threads[thread].isAsymmetric else {
            return
        }
        threads[thread].kind = .fence
        park(thread)
        if mode == .draining { return }
        commit(Event(thread: thread, kind: .fence), site: operation.site)
    }

    private func barrier(_ thread: Int32, _ operation: Operation) {
        threads[thread].object = ObjectTable.barrier
        threads[thread].kind = .membarrier
        park(thread)
        if mode == .draining { return }
        take(thread, operation.site)
        if attention.races { sync.fence(thread, .sequentiallyConsistent) }
    }
}

/// A reader inside a reader-writer lock.
struct ReadSection {
    var lock: Int32
    var thread: Int32
    var event: Int32
}
