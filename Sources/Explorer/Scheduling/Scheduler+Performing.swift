// SPDX-License-Identifier: Apache-2.0

import Substrate

// What Substrate asks that is neither an atomic operation nor a mutex: joins, sleeps, fences.
extension Scheduler {
    func performOperation(_ operation: Operation) -> Bool {
        let thread = current
        switch mode {
        case .exploring, .finishing: break
        case .draining:
            drainStep(thread)
            wakeOutside(operation, -1)
            if let mode = SharedLock.Mode(operation.kind) {
                return windUpLock(operation.kind, mode, operation.object, operation.site)
            }
            return operation.kind != .free || storages.endLife(at: operation.object)
        case .afterwards:
            return performAfterwards(operation)
        case .idle: return operation.kind != .free || storages.endLife(at: operation.object)
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
        threads[index].site = operation.site
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
        clock.pass(to: operation.deadline)
    }

    func readClock(_ site: Site) -> UInt64 {
        guard mode == .exploring || mode == .finishing else { return clock.now }
        let thread = current
        if joinOperation() {
            if hasOrderedTime { touch(ObjectTable.clock, writes: false) }
            return clock.now
        }
        if mode == .draining { return clock.now }
        threads[thread].object = ObjectTable.clock
        threads[thread].kind = .readClock
        park(thread)
        if mode == .draining { return clock.now }
        take(thread, site)
        return clock.now
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
