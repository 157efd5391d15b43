// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What a thread does next: an operation, before it is known what it finds.
///
/// Steps are pure: whether one can be taken, among what it chooses, what comes of it and what it
/// touches follow from the states of its objects, here or at any other place of an execution.
/// Nothing else says what a step touches.
struct Step: BitwiseCopyable {
    var thread: Int32
    var kind: StepKind
    var prefersReaders = false
    /// What it is done to, and a second object: the mutex of a condition's wait, the queue of a
    /// wait point, what stands for the thread's buffered stores to the place that it loads.
    var object: Int32 = -1
    var other: Int32 = -1
    /// The bits that a compare-exchange or a parking wait expects.
    var expected = Bits()
    /// When the wait or the sleep ends; 0 for never.
    var deadline: UInt64 = 0

    /// What a step did.
    struct Effect {
        var kind: StepKind
        /// Whether a try or a wait succeeded: the lock was acquired, the value exchanged, the
        /// deadline has not passed.
        var succeeds = true
        /// Whether a lock was acquired.
        var acquires = false
        /// Whether the thread waits from here on.
        var waits = false
        /// Whether a load took its value from the thread's own store buffer.
        var isForwarded = false
        /// What the operation of a machine answers.
        var result: UInt64 = 0
        /// The threads that were woken.
        var woken: UInt64 = 0
        var footprint = Footprint()
    }

    /// Whether steps of this kind follow from the states of their objects. Of the others the
    /// footprint is the same everywhere, or cannot be known elsewhere.
    var isMachine: Bool {
        switch kind {
        case .load: other >= 0
        case .compareExchange, .lock, .tryLock, .unlock, .readLock, .tryReadLock, .readUnlock,
            .writeRequest,
            .writeLock,
            .tryWriteLock, .writeUnlock, .wait, .reacquire, .signal, .broadcast, .park, .unpark,
            .wake, .arm, .fire,
            .readClock, .membarrier, .machine:
            true
        default: false
        }
    }

    /// Whether the step may touch more elsewhere than where it was taken: a park that did not wait
    /// would touch the queue, a wake-up that found no timed wait the clock, a wait that was woken
    /// both.
    var mayGrow: Bool {
        switch kind {
        case .park, .signal, .broadcast, .wake: true
        case .reacquire, .unpark: deadline != 0
        default: false
        }
    }

    /// Whether the step can be taken.
    func isEnabled(in states: some ObjectStates) -> Bool {
        switch kind {
        case .lock, .readLock, .writeLock:
            states.lock(object).allows(kind, prefersReaders: prefersReaders)
        case .reacquire, .unpark:
            if states.waiters(object).contains(thread) {
                deadline != 0 && states.mayFire(thread, at: deadline)
            } else {
                kind == .unpark || states.lock(other).allows(.reacquire, prefersReaders: false)
            }
        case .fire: states.mayFire(thread, at: deadline)
        case .membarrier: !states.hasBufferedStores(nil)
        case .machine: transition(in: states.state(object), states.machines) != nil
        default: true
        }
    }

    /// The threads among which the step chooses; 0 where it has no choice.
    func choices(in states: some ObjectStates) -> UInt64 {
        kind == .signal || kind == .wake ? states.waiters(object).choices(kind) : 0
    }

    /// Takes the step, which is enabled, as the event at `position`.
    func apply(to states: some ObjectStates, choosing choice: Int32, at position: Int32) -> Effect {
        var effect = Effect(kind: kind)
        switch kind {
        case .load:
            // The thread's own store, if it is still on its way, comes first.
            if other >= 0, states.isBuffered(object, by: thread) {
                effect.isForwarded = true
                states.touchLifetime(of: object, &effect.footprint)
            } else {
                states.touch(object, writes: false, &effect.footprint)
            }
            effect.footprint.add(other, writes: false)
        case .store, .update: states.touch(object, writes: true, &effect.footprint)
        case .bufferedStore:
            // Nobody sees it yet; but a barrier waits for it.
            effect.footprint.add(ObjectTable.barrier, writes: false)
            states.touchLifetime(of: object, &effect.footprint)
        case .flush:
            states.touch(object, writes: true, &effect.footprint)
            effect.footprint.add(ObjectTable.barrier, writes: false)
            effect.footprint.add(other, writes: true)
        case .compareExchange:
            effect.succeeds = states.word(object) == expected
            states.touch(object, writes: effect.succeeds, &effect.footprint)
        case .lock, .tryLock, .unlock, .readLock, .tryReadLock, .readUnlock, .writeRequest,
            .writeLock, .tryWriteLock,
            .writeUnlock:
            let outcome = applyToLock(object, kind, states, position)
            effect.acquires = outcome.acquires
            effect.succeeds = outcome.acquires
            states.touch(object, writes: outcome.writes, &effect.footprint)
        case .wait:
            states.touch(object, writes: true, &effect.footprint)
            states.touch(other, writes: true, &effect.footprint)
            _ = applyToLock(other, .wait, states, position)
            wait(on: object, states, &effect)
        case .park:
            effect.waits = states.word(object) == expected
            states.touch(object, writes: false, &effect.footprint)
            if effect.waits {
                states.touch(other, writes: true, &effect.footprint)
                wait(on: other, states, &effect)
            }
        case .reacquire, .unpark:
            var waiters = states.waiters(object)
            if waiters.contains(thread) {
                waiters.remove(waiters.bit(thread))
                states.set(object, waiters)
                states.setTimer(of: thread, 0)
                effect.kind = .timeout
                effect.succeeds = false
                states.touch(object, writes: true, &effect.footprint)
                touchClock(states, writes: true, &effect)
            } else if kind == .reacquire {
                _ = applyToLock(other, .reacquire, states, position)
                effect.acquires = true
                states.touch(other, writes: true, &effect.footprint)
            }
        case .signal, .broadcast, .wake:
            var waiters = states.waiters(object)
            effect.woken = waiters.woken(kind, choosing: choice)
            let stopped = effect.woken & waiters.timed
            waiters.remove(effect.woken)
            states.set(object, waiters)
            states.touch(object, writes: true, &effect.footprint)
            for thread in Int32(0)..<64 where stopped & (1 << UInt64(thread)) != 0 {
                states.setTimer(of: thread, 0)
            }
            // Which timers there are decides which may fire.
            if stopped != 0 { touchClock(states, writes: true, &effect) }
        case .arm:
            states.setTimer(of: thread, deadline)
            touchClock(states, writes: true, &effect)
        case .fire:
            states.setTimer(of: thread, 0)
            touchClock(states, writes: true, &effect)
        case .readClock: touchClock(states, writes: false, &effect)
        case .membarrier: effect.footprint.add(ObjectTable.barrier, writes: true)
        case .machine:
            let state = states.state(object)
            let transition = transition(in: state, states.machines)!
            effect.result = transition.result
            if transition.state != state { states.set(object, transition.state, from: state) }
            states.touch(object, writes: transition.state != state, &effect.footprint)
        default: break
        }
        return effect
    }

    private func applyToLock(
        _ lock: Int32, _ kind: StepKind, _ states: some ObjectStates, _ position: Int32
    ) -> LockState.Outcome {
        var state = states.lock(lock)
        let outcome = state.apply(kind, by: thread, prefersReaders: prefersReaders, at: position)
        states.set(lock, state)
        return outcome
    }

    private func wait(on queue: Int32, _ states: some ObjectStates, _ effect: inout Effect) {
        var waiters = states.waiters(queue)
        waiters.add(thread, isTimed: deadline != 0)
        states.set(queue, waiters)
        effect.waits = true
        guard deadline != 0 else { return }
        states.setTimer(of: thread, deadline)
        touchClock(states, writes: true, &effect)
    }

    private func touchClock(_ states: some ObjectStates, writes: Bool, _ effect: inout Effect) {
        if states.hasOrderedTime { effect.footprint.add(ObjectTable.clock, writes: writes) }
    }
}
