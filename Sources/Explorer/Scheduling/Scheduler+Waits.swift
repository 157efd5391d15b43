// SPDX-License-Identifier: Apache-2.0

import Substrate

// Conditions and wait points.
extension Scheduler {
    // MARK: Condition

    func wait(_ thread: Int32, _ operation: Operation) -> Bool {
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
        markWait(on: condition, at: operation.object)
        take(thread, operation.site)
        publish(lock, by: thread)
        freeWord(at: operation.other, operation.site)
        threads[index].kind = .reacquire
        guard let isInTime = endWait(thread, operation.site) else {
            return windUpLock(.lock, .mutex, operation.other, operation.site)
        }
        acquire(lock, by: thread, .reacquire)
        return isInTime
    }

    /// Whether the thread's number has a place in the sets of waiters.
    func mayWait(_ thread: Int32) -> Bool {
        if thread < WaiterState.limit { return true }
        reachLimit(
            "\(name(ofThread: thread)) waits, and the explorer lets only the first \(WaiterState.limit) threads and tasks of a program wait on conditions and wait points"
        )
        return false
    }

    /// Waits for a wake-up, or the deadline. Nil when the thread is being drained, else whether it
    /// was woken in time.
    func endWait(_ thread: Int32, _ site: Site) -> Bool? {
        let index = Int(thread)
        threads[index].isWoken = false
        threads[index].isTimedOut = false
        while true {
            park(thread)
            if mode == .draining {
                disarm(index)
                return nil
            }
            if threads[index].kind == .reacquire,
                !objects[threads[index].object].waiters.contains(thread)
            {
                let lock = threads[index].other
                guard takeWord(lock, objects[lock].address, thread, site) else {
                    disarm(index)
                    return nil
                }
            }
            guard take(thread, site).kind == .timeout else { return !threads[index].isTimedOut }
            clock.pass(to: threads[index].deadline)
            threads[index].isTimedOut = true
            threads[index].isWoken = true
            if threads[index].kind == .unpark { return false }
        }
    }

    func disarm(_ index: Int) {
        guard threads[index].armed >= 0 else { return }
        threads[index].armed = -1
        clock.armed -= 1
    }

    func notify(_ thread: Int32, _ operation: Operation) {
        let condition = object(at: operation.object)
        wakeUp(
            thread, condition, operation.kind == .broadcast ? .broadcast : .signal, operation.site)
        wakeOutside(operation, condition)
    }

    /// Wakes one waiter of `object`, which the schedule chooses, or all.
    private func wakeUp(_ thread: Int32, _ object: Int32, _ kind: StepKind, _ site: Site) {
        threads[thread].object = object
        threads[thread].kind = kind
        park(thread)
        if mode != .draining { take(thread, site) }
    }

    // MARK: Wait point

    func parkWhile(_ thread: Int32, _ operation: Operation) -> Bool {
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
        // Before the step looks at the word.
        markWait(on: queue, at: operation.object)
        guard take(thread, operation.site).waits else { return true }
        threads[index].object = queue
        threads[index].kind = .unpark
        threads[index].isIdle = operation.isIdle
        defer { threads[index].isIdle = false }
        return endWait(thread, operation.site) ?? true
    }

    func wake(_ thread: Int32, _ operation: Operation) {
        let queue = objects.companion(of: object(at: operation.object), 1)
        let count = operation.operand.low
        // More than one, but not all, is one after the other.
        if count == 0 { return }
        if count >= 64 {
            wakeUp(thread, queue, .broadcast, operation.site)
        } else {
            for _ in 0..<count { wakeUp(thread, queue, .wake, operation.site) }
        }
        wakeOutside(operation, queue)
    }
}
