// SPDX-License-Identifier: Apache-2.0

import Substrate

// Mutexes.
extension Scheduler {
    @inline(__always)
    func performMutex(_ operation: OperationKind, _ address: UInt, _ site: Site) -> Bool {
        isPlain && threads[current].isPlain
            ? stepMutex(operation, address, site) : watchedMutex(operation, address, site)
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
            return windUpLock(operation, .mutex, address, site)
        case .afterwards: return lockAfterwards(operation, .mutex, address, site)
        case .idle: return true
        }
        if case .skipped = mutant?.effect(on: operation, site) { return true }
        if threads[current].operations > 0 {
            if joinOperation(), let result = mutexWithin(operation, address, site) {
                return result
            }
            if mode == .draining { return windUpLock(operation, .mutex, address, site) }
        }
        threads[current].site = site
        return stepMutex(operation, address, site)
    }

    /// What a mutex is asked as a step of its own.
    @inline(__always)
    private func stepMutex(_ operation: OperationKind, _ address: UInt, _ site: Site) -> Bool {
        let thread = current
        let lock = object(at: address)
        let kind: StepKind =
            operation == .lock ? .lock : operation == .unlock ? .unlock : .tryLock
        if !isPlain || !isNext(thread) {
            threads[thread].object = lock
            threads[thread].other = -1
            threads[thread].kind = kind
            park(thread)
        }
        if mode == .draining { return windUpLock(operation, .mutex, address, site) }
        if kind == .lock, !takeWord(lock, address, thread, site) {
            return windUpLock(operation, .mutex, address, site)
        }
        if kind == .unlock, objects[lock].lock.owner != thread {
            fail(
                .misuse,
                "\(name(ofThread: thread)) unlocked \(name(of: lock)), which it does not hold")
        }
        var succeeds = true
        if kind == .tryLock {
            succeeds = tryMutex(thread, lock, site)
        } else if repeats(thread, kind, lock) {
            change(lock, kind, by: thread, at: steps &- 1)
        } else {
            takeMutex(thread, kind, lock, site)
        }
        if kind == .unlock { freeWord(at: address, site) }
        if succeeds, attention.races { noteTransfer(of: lock, by: thread, kind) }
        return succeeds
    }

    private func tryMutex(_ thread: Int32, _ lock: Int32, _ site: Site) -> Bool {
        if objects[lock].lock.isHeld || tryWord(.mutex, lock) { return take(thread, site).succeeds }
        return failTry(thread, lock, site)
    }

    /// A try finds the lock held by a thread that is not explored.
    func failTry(_ thread: Int32, _ lock: Int32, _ site: Site) -> Bool {
        letOtherDecide("that \(name(of: lock)) is free", site)
        var event = Event(threads[thread].step(of: thread))
        event.traits = .silent
        event.footprint = footprint(lock, writes: false)
        commit(event, site: site)
        return false
    }

    /// As `take` does, without asking what kind of step it is.
    @inline(__always)
    private func takeMutex(_ thread: Int32, _ kind: StepKind, _ lock: Int32, _ site: Site) {
        let traits: Event.Traits = kind == .lock ? .acquires : []
        if isAccess(thread, lock) {
            change(lock, kind, by: thread, at: steps)
            commitAccess(thread, kind, lock, writes: true, traits)
            history.versions.add(
                StateChange(object: lock, state: objects[lock].lock.bits), by: steps &- 1)
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

    /// What stands for the releases of a lock's readers, which publish to writers and not to each
    /// other.
    func readersRow(of lock: Int32) -> Int32 { objects.companion(of: lock, 2) }

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
}
