// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

/// Philosophers around a table: each takes its two forks, the lower first or the left first.
enum Philosophers {
    static func program(_ size: Int, ordered: Bool) -> @Sendable (ExploredWorld) -> Void {
        { world in
            let forks = Locks(size, "fork")
            for seat in 0..<size {
                let left = seat
                let right = (seat + 1) % size
                let first = ordered ? min(left, right) : left
                let second = ordered ? max(left, right) : right
                world.thread("philosopher \(seat)") {
                    forks.lock(first)
                    forks.lock(second)
                    forks.unlock(second)
                    forks.unlock(first)
                }
            }
        }
    }
}

/// Two threads take two locks in opposite orders.
enum ABBA {
    static func program() -> @Sendable (ExploredWorld) -> Void {
        { world in
            let locks = Locks(2, "lock")
            for first in 0..<2 {
                world.thread(first == 0 ? "ab" : "ba") {
                    locks.lock(first)
                    locks.lock(1 - first)
                    locks.unlock(1 - first)
                    locks.unlock(first)
                }
            }
        }
    }
}

/// Threads move money around a ring of accounts.
enum Accounts {
    static func program(_ size: Int, locked: Bool) -> @Sendable (ExploredWorld) -> Void {
        { world in
            let balances = Cells(size, "balance", initial: 100)
            let locks = Locks(size, "account lock")
            for from in 0..<size {
                let to = (from + 1) % size
                world.thread("mover \(from)") {
                    if locked {
                        locks.lock(min(from, to))
                        locks.lock(max(from, to))
                    }
                    balances.store(balances.load(from) - 1, from)
                    balances.store(balances.load(to) + 1, to)
                    if locked {
                        locks.unlock(max(from, to))
                        locks.unlock(min(from, to))
                    }
                }
            }
            world.afterwards { expect(balances.sum == 100 * size, "the sum changed") }
        }
    }
}

/// Producers and consumers of a buffer of one item.
enum BoundedBuffer {
    private final class State: Sendable {
        let lock = Mutex(())
        let notFull = Condition()
        let notEmpty = Condition()
        let count = Atomic(0)

        init() {
            lock.label("buffer lock")
            notFull.label("notFull")
            notEmpty.label("notEmpty")
            count.label("count")
        }
    }

    static func program(_ producers: Int, _ consumers: Int, oneCondition: Bool)
        -> @Sendable (ExploredWorld) -> Void
    {
        { world in
            let state = State()
            for producer in 0..<producers {
                world.thread("producer \(producer)") {
                    move(state, state.notFull, to: 1, oneCondition)
                }
            }
            for consumer in 0..<consumers {
                world.thread("consumer \(consumer)") {
                    move(state, state.notEmpty, to: 0, oneCondition)
                }
            }
        }
    }

    private static func move(
        _ state: State, _ own: borrowing Condition, to count: Int, _ oneCondition: Bool
    ) {
        state.lock.lock()
        while state.count.load(ordering: .sequentiallyConsistent) == count {
            if oneCondition { state.notEmpty.wait(state.lock) } else { own.wait(state.lock) }
        }
        state.count.store(count, ordering: .sequentiallyConsistent)
        if oneCondition || count == 1 { state.notEmpty.signal() } else { state.notFull.signal() }
        state.lock.unlock()
    }
}

/// The flag is tested before the lock is taken, so that the signal can come in between.
enum LostWakeUp {
    private final class State: Sendable {
        let flag = Atomic(0)
        let lock = Mutex(())
        let condition = Condition()

        init() {
            flag.label("flag")
            lock.label("lock")
            condition.label("condition")
        }
    }

    static func program() -> @Sendable (ExploredWorld) -> Void {
        { world in
            let state = State()
            world.thread("waiter") {
                if state.flag.load(ordering: .sequentiallyConsistent) == 0 {
                    state.lock.lock()
                    state.condition.wait(state.lock)
                    state.lock.unlock()
                }
            }
            world.thread("waker") {
                state.flag.store(1, ordering: .sequentiallyConsistent)
                state.lock.lock()
                state.condition.signal()
                state.lock.unlock()
            }
        }
    }
}
