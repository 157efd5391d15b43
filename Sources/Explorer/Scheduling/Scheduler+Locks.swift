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
        switch mutant?.effect(on: operation) {
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
        case .lock, .tryLock, .unlock: return mutex(thread, operation)
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

    private func mutex(_ thread: Int32, _ operation: Operation) -> Bool {
        let lock = object(at: operation.object)
        threads[Int(thread)].object = lock
        threads[Int(thread)].kind =
            operation.kind == .lock ? .lock : operation.kind == .unlock ? .unlock : .tryLock
        park(thread)
        if mode == .draining { return true }
        switch operation.kind {
        case .lock:
            acquired(lock, by: thread, .lock, operation.site)
        case .tryLock:
            var event = Event(thread: thread, kind: .tryLock)
            event.isConditional = true
            guard objects[lock].owner < 0 else {
                event.footprint = footprint(lock, writes: false)
                commit(event, site: operation.site)
                return false
            }
            event.footprint = footprint(lock, writes: true)
            event.acquires = true
            held(lock, by: thread, .tryLock, since: commit(event, site: operation.site))
        default:
            if objects[lock].owner != thread {
                fail(.misuse, "\(name(ofThread: thread)) unlocked \(name(of: lock)), which it does not hold")
            }
            if !repeats(thread, .unlock, lock) {
                var event = Event(thread: thread, kind: .unlock)
                event.footprint = footprint(lock, writes: true)
                event.opener = objects[lock].acquired
                commit(event, site: operation.site)
            }
            released(lock, by: thread)
        }
        return true
    }

    /// `thread` holds `lock` from here on; `opener` is its arrival, `deadline` that of the wait that ended so.
    private func acquired(
        _ lock: Int32, by thread: Int32, _ kind: StepKind, _ site: Site, closing opener: Int32 = -1,
        deadline: UInt64 = 0
    ) {
        let position = Int32(truncatingIfNeeded: steps)
        if !repeats(thread, kind, lock) {
            var event = Event(thread: thread, kind: kind)
            event.footprint = footprint(lock, writes: true)
            event.acquires = true
            event.opener = opener
            event.deadline = deadline
            commit(event, site: site)
        }
        held(lock, by: thread, kind, since: position)
    }

    /// What stands for the releases of a lock's readers, who publish to writers and not to each other.
    private func readersRow(of lock: Int32) -> Int32 { objects.companion(of: lock, 2) }

    /// `thread` holds the lock alone, by the step at `position`. It sees what the last holder did, and what readers did before.
    func held(_ lock: Int32, by thread: Int32, _ kind: StepKind, since position: Int32) {
        objects[lock].owner = thread
        objects[lock].acquired = position
        guard tracksRaces else { return }
        sync.load(thread, lock, .acquiring)
        switch kind {
        case .lock, .tryLock, .reacquire: break
        default: sync.load(thread, readersRow(of: lock), .acquiring)
        }
    }

    func released(_ lock: Int32, by thread: Int32) {
        objects[lock].owner = -1
        objects[lock].acquired = -1
        if tracksRaces { sync.store(thread, lock, .releasing) }
    }

    // MARK: Reader-writer lock

    private func readerWriterLock(_ thread: Int32, _ operation: Operation) -> Bool {
        let index = Int(thread)
        let lock = object(at: operation.object)
        threads[index].object = lock
        switch operation.kind {
        case .readLock, .tryReadLock:
            let tries = operation.kind == .tryReadLock
            threads[index].kind = tries ? .tryReadLock : .readLock
            park(thread)
            if mode == .draining { return true }
            var event = Event(thread: thread, kind: threads[index].kind)
            event.footprint = footprint(lock, writes: false)
            let barred =
                objects[lock].owner >= 0 || (!threads[index].prefersReaders && objects[lock].waitingWriters > 0)
            if tries, barred {
                commit(event, site: operation.site)
                return false
            }
            event.acquires = true
            let position = commit(event, site: operation.site)
            objects[lock].readers += 1
            needsTidying = true
            readSections.append(ReadSection(lock: lock, thread: thread, event: position))
            if tracksRaces { sync.load(thread, lock, .acquiring) }
        case .readUnlock:
            threads[index].kind = .readUnlock
            park(thread)
            if mode == .draining { return true }
            var event = Event(thread: thread, kind: .readUnlock)
            event.footprint = footprint(lock, writes: false)
            if let section = readSections.lastIndex(where: { $0.lock == lock && $0.thread == thread }) {
                event.opener = readSections.remove(at: section).event
                objects[lock].readers -= 1
            } else {
                fail(.misuse, "\(name(ofThread: thread)) ended a read of \(name(of: lock)) that it did not begin")
            }
            commit(event, site: operation.site)
            // Readers publish to the next writer, not to each other; a writer's store replaces all of it.
            if tracksRaces { sync.update(thread, readersRow(of: lock), .releasing) }
        case .writeLock:
            // A writer that must wait arrives first: readers that come later wait behind it.
            if !operation.prefersReaders {
                threads[index].kind = .writeRequest
                park(thread)
                if mode == .draining { return true }
                if objects[lock].owner >= 0 || objects[lock].readers > 0 {
                    var event = Event(thread: thread, kind: .writeRequest)
                    event.footprint = footprint(lock, writes: true)
                    let request = commit(event, site: operation.site)
                    objects[lock].waitingWriters += 1
                    threads[index].kind = .writeLock
                    park(thread)
                    if mode == .draining { return true }
                    objects[lock].waitingWriters -= 1
                    acquired(lock, by: thread, .writeLock, operation.site, closing: request)
                } else {
                    acquired(lock, by: thread, .writeRequest, operation.site)
                }
            } else {
                threads[index].kind = .writeLock
                park(thread)
                if mode == .draining { return true }
                acquired(lock, by: thread, .writeLock, operation.site)
            }
        case .tryWriteLock:
            threads[index].kind = .tryWriteLock
            park(thread)
            if mode == .draining { return true }
            // A write even when it fails: readers, which only read, decide it.
            var event = Event(thread: thread, kind: .tryWriteLock)
            event.footprint = footprint(lock, writes: true)
            guard objects[lock].owner < 0, objects[lock].readers == 0 else {
                commit(event, site: operation.site)
                return false
            }
            event.acquires = true
            held(lock, by: thread, .tryWriteLock, since: commit(event, site: operation.site))
        default:
            threads[index].kind = .writeUnlock
            park(thread)
            if mode == .draining { return true }
            if objects[lock].owner != thread {
                fail(.misuse, "\(name(ofThread: thread)) ended a write of \(name(of: lock)) that it did not begin")
            }
            var event = Event(thread: thread, kind: .writeUnlock)
            event.footprint = footprint(lock, writes: true)
            event.opener = objects[lock].acquired
            commit(event, site: operation.site)
            released(lock, by: thread)
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
        threads[index].kind = .wait
        park(thread)
        if mode == .draining { return true }
        if objects[lock].owner != thread {
            fail(.misuse, "\(name(ofThread: thread)) waited with \(name(of: lock)), which it does not hold")
        }
        var event = Event(thread: thread, kind: .wait)
        event.footprint = footprint(condition, writes: true)
        event.footprint.add(lock, writes: true)
        if objects[lock].storage >= 0 {
            event.footprint.add(storages[Int(objects[lock].storage)].lifetime, writes: false)
        }
        event.opener = objects[lock].acquired
        tellWaiters(on: condition, &event)
        beginWait(thread, &event, operation.deadline, operation.site)
        released(lock, by: thread)
        threads[index].kind = .reacquire
        if !sleepUntilWoken(thread, condition, operation.site) { return true }
        let isTimedOut = threads[index].isTimedOut
        threads[index].object = lock
        acquired(
            lock, by: thread, .reacquire, operation.site, deadline: isTimedOut ? 0 : threads[index].deadline)
        return !isTimedOut
    }

    /// Notes who waits before the step, and whose wait has a deadline: a reversal needs it.
    private func tellWaiters(on object: Int32, _ event: inout Event) {
        let waiting = waiters(on: object)
        event.old.low = waiting
        var rest = timerCount > 0 ? waiting : 0
        while rest != 0 {
            let waiter = rest.trailingZeroBitCount
            rest &= rest - 1
            if threads[waiter].armed >= 0 { event.expected.low |= 1 << UInt64(waiter) }
        }
    }

    /// Puts `thread` among the waiters, as the step `event`.
    private func beginWait(_ thread: Int32, _ event: inout Event, _ deadline: UInt64, _ site: Site) {
        let index = Int(thread)
        threads[index].isWoken = false
        threads[index].isTimedOut = false
        threads[index].deadline = deadline
        event.deadline = deadline
        noteBlockingTask(thread, site)
        if deadline != 0 { event.footprint.add(ObjectTable.clock, writes: true) }
        let position = commit(event, site: site)
        waiterCount += 1
        if deadline != 0 {
            threads[index].armed = position
            timerCount += 1
        }
    }

    /// Waits for a wake-up, or the deadline. False when the thread is being drained.
    private func sleepUntilWoken(_ thread: Int32, _ object: Int32, _ site: Site) -> Bool {
        let index = Int(thread)
        while true {
            park(thread)
            if mode == .draining {
                disarm(index)
                return false
            }
            if threads[index].isWoken { return true }
            var event = Event(thread: thread, kind: .timeout)
            event.footprint = footprint(object, writes: true)
            event.footprint.add(ObjectTable.clock, writes: true)
            tellWaiters(on: object, &event)
            event.opener = threads[index].armed
            event.deadline = threads[index].deadline
            commit(event, site: site)
            time = max(time, threads[index].deadline)
            disarm(index)
            threads[index].isTimedOut = true
            threads[index].isWoken = true
            waiterCount -= 1
            if threads[index].kind == .unpark { return true }
        }
    }

    func disarm(_ index: Int) {
        guard threads[index].armed >= 0 else { return }
        threads[index].armed = -1
        timerCount -= 1
    }

    private func notify(_ thread: Int32, _ operation: Operation) {
        let condition = object(at: operation.object)
        wakeUp(thread, condition, all: operation.kind == .broadcast, .signal, operation.site)
    }

    /// Wakes one waiter of `object`, which the schedule chooses, or all.
    private func wakeUp(_ thread: Int32, _ object: Int32, all: Bool, _ kind: StepKind, _ site: Site) {
        let index = Int(thread)
        threads[index].object = object
        threads[index].kind = all ? .broadcast : kind
        park(thread)
        if mode == .draining { return }
        let waiting = waiters(on: object)
        var event = Event(thread: thread, kind: threads[index].kind)
        event.footprint = footprint(object, writes: true)
        tellWaiters(on: object, &event)
        var woken = waiting
        if !all {
            if choice >= 0 { woken = 1 << UInt64(choice) } else { woken = waiting & (~waiting &+ 1) }
        }
        var rest = woken
        while rest != 0 {
            let waiter = rest.trailingZeroBitCount
            rest &= rest - 1
            if threads[waiter].armed >= 0 {
                event.footprint.add(ObjectTable.clock, writes: true)
                event.opener = threads[waiter].armed
            }
        }
        recorder?.wokenNames = names(ofThreads: woken)
        let position = commit(event, site: site)
        while woken != 0 {
            let waiter = woken.trailingZeroBitCount
            woken &= woken - 1
            threads[waiter].isWoken = true
            threads[waiter].enabler = position
            waiterCount -= 1
            disarm(waiter)
        }
    }

    // MARK: Wait point

    private func parkWhile(_ thread: Int32, _ operation: Operation) -> Bool {
        let index = Int(thread)
        let word = object(at: operation.object)
        let queue = objects.companion(of: word, 1)
        threads[index].object = word
        threads[index].kind = .park
        park(thread)
        if mode == .draining { return true }
        let value = unsafe UnsafePointer<UInt32>(bitPattern: operation.object)!.pointee
        var event = Event(thread: thread, kind: .park)
        event.footprint = footprint(word, writes: false)
        if UInt64(value) != operation.operand.low {
            commit(event, site: operation.site)
            return true
        }
        event.footprint.add(queue, writes: true)
        tellWaiters(on: queue, &event)
        beginWait(thread, &event, operation.deadline, operation.site)
        threads[index].object = queue
        threads[index].kind = .unpark
        threads[index].isIdle = operation.isIdle
        defer { threads[index].isIdle = false }
        if !sleepUntilWoken(thread, queue, operation.site) { return true }
        if threads[index].isTimedOut { return false }
        var end = Event(thread: thread, kind: .unpark)
        end.deadline = threads[index].deadline
        commit(end, site: operation.site)
        return true
    }

    private func wake(_ thread: Int32, _ operation: Operation) {
        let queue = objects.companion(of: object(at: operation.object), 1)
        let count = operation.operand.low
        // More than one, but not all, is one after the other.
        if count == 0 { return }
        if count == 1 || count >= 64 { return wakeUp(thread, queue, all: count > 1, .wake, operation.site) }
        for _ in 0..<count { wakeUp(thread, queue, all: false, .wake, operation.site) }
    }

    // MARK: Join, time, fences

    private func join(_ thread: Int32, _ operation: Operation) {
        let target = Int32(truncatingIfNeeded: Int(bitPattern: operation.other))
        threads[Int(thread)].other = target
        threads[Int(thread)].kind = .join
        if target >= 0, threads[Int(target)].state == .parked { noteBlockingTask(thread, operation.site) }
        park(thread)
        if mode == .draining || target < 0 { return }
        threads[Int(thread)].enabler = threads[Int(target)].last
        commit(Event(thread: thread, kind: .join), site: operation.site)
        if tracksRaces { sync.join(thread, with: target) }
    }

    private func sleep(_ thread: Int32, _ operation: Operation) {
        let index = Int(thread)
        threads[index].object = ObjectTable.clock
        threads[index].kind = .arm
        park(thread)
        if mode == .draining { return }
        var event = Event(thread: thread, kind: .arm)
        event.footprint.add(ObjectTable.clock, writes: true)
        event.deadline = operation.deadline
        noteBlockingTask(thread, operation.site)
        let position = commit(event, site: operation.site)
        threads[index].deadline = operation.deadline
        threads[index].armed = position
        threads[index].isWoken = false
        threads[index].kind = .fire
        timerCount += 1
        park(thread)
        if mode != .draining {
            var event = Event(thread: thread, kind: .fire)
            event.footprint.add(ObjectTable.clock, writes: true)
            event.deadline = operation.deadline
            event.opener = position
            commit(event, site: operation.site)
            time = max(time, operation.deadline)
        }
        disarm(index)
    }

    func readClock(_ site: Site) -> UInt64 {
        guard mode == .exploring || mode == .finishing else { return time }
        let thread = current
        if joinOperation() {
            touch(ObjectTable.clock, writes: false)
            return time
        }
        if mode == .draining { return time }
        threads[Int(thread)].object = ObjectTable.clock
        threads[Int(thread)].kind = .readClock
        park(thread)
        if mode == .draining { return time }
        var event = Event(thread: thread, kind: .readClock)
        event.footprint.add(ObjectTable.clock, writes: false)
        commit(event, site: site)
        return time
    }

    private func fence(_ thread: Int32, _ operation: Operation) {
        if tracksRaces { sync.fence(thread, operation.order) }
        // Only a full fence drains the store buffer; for a thread that has none it is no step.
        guard operation.order == .sequentiallyConsistent, threads[Int(thread)].isAsymmetric else { return }
        threads[Int(thread)].kind = .fence
        park(thread)
        if mode == .draining { return }
        commit(Event(thread: thread, kind: .fence), site: operation.site)
    }

    private func barrier(_ thread: Int32, _ operation: Operation) {
        threads[Int(thread)].object = ObjectTable.barrier
        threads[Int(thread)].kind = .membarrier
        park(thread)
        if mode == .draining { return }
        var event = Event(thread: thread, kind: .membarrier)
        event.footprint.add(ObjectTable.barrier, writes: true)
        commit(event, site: operation.site)
        if tracksRaces { sync.fence(thread, .sequentiallyConsistent) }
    }
}

/// A reader inside a reader-writer lock.
struct ReadSection {
    var lock: Int32
    var thread: Int32
    var event: Int32
}
