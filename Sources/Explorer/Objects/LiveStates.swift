// SPDX-License-Identifier: Apache-2.0

import Substrate

/// How an object's state has changed in the step that is being taken.
struct StateChange: BitwiseCopyable {
    var object: Int32
    /// How many readers of a lock more there are, where that is all; else 0.
    var readers: Int32 = 0
    var state: Bits
    /// The state before, where it is not that of a new object.
    var before: Bits?
}

// The states of the execution that runs.
extension Scheduler: ObjectStates {
    @inline(__always)
    func lock(_ object: Int32) -> LockState { objects[object].lock }

    func set(_ object: Int32, _ state: LockState) {
        let before = objects[object].lock
        objects[object].lock = state
        // A try that fails changes nothing.
        guard state != before else { return }
        let isCounted = state.owner == before.owner && state.requests == before.requests
        note(
            StateChange(
                object: object, readers: isCounted ? state.readers - before.readers : 0,
                state: state.bits))
    }

    func waiters(_ object: Int32) -> WaiterState { objects[object].waiters }

    func set(_ object: Int32, _ state: WaiterState) {
        objects[object].waiters = state
        note(StateChange(object: object, state: state.bits))
    }

    func state(_ object: Int32) -> Bits { objects[object].state ?? Bits() }

    func set(_ object: Int32, _ state: Bits, from before: Bits) {
        objects[object].state = state
        note(StateChange(object: object, state: state, before: before))
    }

    func word(_ object: Int32) -> Bits {
        Bits(
            low: UInt64(unsafe UnsafePointer<UInt32>(bitPattern: objects[object].address)!.pointee))
    }

    /// An atomic step found `old` and left `new`.
    @inline(__always)
    func noteWord(_ object: Int32, _ old: Bits, _ new: Bits) {
        guard attention.words else { return }
        note(StateChange(object: object, state: new, before: old))
    }

    /// Some step depends on the value that it finds: what others leave is remembered from the next
    /// execution on.
    @inline(__always)
    func trackWords() {
        if !attention.words { wanted.words = true }
    }

    /// Remembers a change for the strategy, unless it knows.
    @inline(__always)
    private func note(_ change: StateChange) {
        if steps >= replayedSteps, mode == .exploring { changes.append(change) }
    }

    var hasOrderedTime: Bool { options.time == .any }

    /// Timers fire in the order of their deadlines; where time is discrete, when they are due.
    func mayFire(_ thread: Int32, at deadline: UInt64) -> Bool {
        if options.time == .discrete { return deadline <= clock.now }
        for other in 0..<threads.count
        where other != thread && threads[other].state == .parked
            && threads[other].armed >= 0
            && threads[other].deadline < deadline
        {
            return false
        }
        return true
    }

    func setTimer(of thread: Int32, _ deadline: UInt64) {
        if deadline == 0 { return disarm(Int(thread)) }
        threads[thread].armed = Int32(truncatingIfNeeded: steps)
        clock.armed += 1
    }

    func hasBufferedStores(_ thread: Int32?) -> Bool {
        thread.map { threads[$0].buffered > 0 } ?? (stores.count > 0)
    }

    func isBuffered(_ object: Int32, by thread: Int32) -> Bool {
        stores.latest(to: objects[object].address, by: thread) != nil
    }

    @inline(__always)
    func touchLifetime(of object: Int32, _ footprint: inout Footprint) {
        footprint.add(objects[object].lifetime, writes: false)
    }

    @inline(__always)
    func touch(_ object: Int32, writes: Bool, _ footprint: inout Footprint) {
        footprint.add(object, writes: writes)
        guard object >= 0 else { return }
        touchLifetime(of: object, &footprint)
        // Operations on the whole touch the part.
        if objects[object].subject >= 0 { footprint.add(objects[object].subject, writes: writes) }
    }
}
