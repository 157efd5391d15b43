// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A place of an execution other than those that it passed through: a set of its events that is
/// closed under happens-before.
///
/// (A *configuration*, as event structures call it.) Every object's state there is one of its
/// versions. Steps that change an object conflict, so their order is the same wherever they happen,
/// and the last of them that belongs to the configuration made the version. Readers of a lock are
/// the exception: they commute, and are counted.
final class Configuration: ObjectStates {
    private let history: History
    private let scheduler: Scheduler
    /// The events before this position belong to it, and those with this stamp.
    private var prefix = 0
    private var stamp: UInt32 = 0
    private let stamps = Stack<UInt32>(capacity: 256)
    /// What the step that is applied found where it happened.
    var found = Bits()

    init(_ history: History, _ scheduler: Scheduler) {
        self.history = history
        self.scheduler = scheduler
    }

    /// From here on it holds the events before `prefix`.
    func begin(_ prefix: Int) {
        self.prefix = prefix
        stamp &+= 1
        stamps.extend(to: history.count, with: 0)
    }

    @inline(__always)
    func add(_ event: Int) { stamps[event] = stamp }

    @inline(__always)
    func contains(_ event: Int) -> Bool {
        event < prefix || event < stamps.count && stamps[event] == stamp
    }

    // MARK: States

    /// The object's version here: its index, or -1. `readers` is what readers have changed since.
    private func version(of object: Int32) -> (index: Int32, readers: Int32) {
        var index = history.versions.last(of: object)
        var readers: Int32 = 0
        while index >= 0 {
            let version = history.versions[index]
            if contains(Int(version.event)) {
                if version.readers == 0 { return (index, readers) }
                readers += version.readers
            }
            index = version.previous
        }
        return (-1, readers)
    }

    func lock(_ object: Int32) -> LockState {
        let (index, readers) = version(of: object)
        var state = index < 0 ? LockState() : LockState(bits: history.versions[index].state)
        state.readers += readers
        return state
    }

    func waiters(_ object: Int32) -> WaiterState {
        let index = version(of: object).index
        return index < 0 ? WaiterState() : WaiterState(bits: history.versions[index].state)
    }

    func state(_ object: Int32) -> Bits {
        let index = version(of: object).index
        // Where no event has changed it, it is as it was made.
        return index < 0 ? scheduler.state(object) : history.versions[index].state
    }

    var machines: Machines { scheduler.machines }

    func word(_ object: Int32) -> Bits {
        let index = version(of: object).index
        return index < 0 ? found : history.versions[index].state
    }

    // The step that is applied is the last: nobody sees what it leaves.
    func set(_ object: Int32, _ state: LockState) {}
    func set(_ object: Int32, _ state: WaiterState) {}
    func set(_ object: Int32, _ state: Bits, from before: Bits) {}
    func setTimer(of thread: Int32, _ deadline: UInt64) {}

    var hasOrderedTime: Bool { scheduler.hasOrderedTime }

    func mayFire(_ thread: Int32, at deadline: UInt64) -> Bool {
        hasOrderedTime ? earlierTimer(than: deadline, thread) < 0 : deadline <= time
    }

    /// Where time is discrete: up to when it has passed.
    private var time: UInt64 {
        for event in stride(from: history.count - 1, through: 0, by: -1)
        where history[event].kind == .tick && contains(event) {
            return history.event(event).step.deadline
        }
        return Timekeeper.beginning
    }

    func hasBufferedStores(_ thread: Int32?) -> Bool { bufferedStore(of: thread, to: nil) >= 0 }

    func isBuffered(_ object: Int32, by thread: Int32) -> Bool {
        bufferedStore(of: thread, to: object) >= 0
    }

    func touch(_ object: Int32, writes: Bool, _ footprint: inout Footprint) {
        scheduler.touch(object, writes: writes, &footprint)
    }

    func touchLifetime(of object: Int32, _ footprint: inout Footprint) {
        scheduler.touchLifetime(of: object, &footprint)
    }

    // MARK: What keeps a step from being taken

    /// The event without which `step`, which is not enabled here, might be; -1 when there is none.
    func obstacle(to step: Step) -> Int32 {
        switch step.kind {
        case .lock: return holder(of: step.object)
        case .readLock:
            let holder = holder(of: step.object)
            return holder >= 0 ? holder : request(for: step.object)
        case .writeLock:
            let holder = holder(of: step.object)
            return holder >= 0 ? holder : reader(of: step.object)
        case .reacquire, .unpark:
            if waiters(step.object).contains(step.thread) {
                return step.deadline == 0 ? -1 : earlierTimer(than: step.deadline, step.thread)
            }
            return step.kind == .unpark ? -1 : holder(of: step.other)
        case .fire: return earlierTimer(than: step.deadline, step.thread)
        case .membarrier: return bufferedStore(of: nil, to: nil)
        case .machine: return disabling(step)
        default: return -1
        }
    }

    /// The change that came after the last state in which the step of a machine could be taken.
    private func disabling(_ step: Step) -> Int32 {
        var index = history.versions.last(of: step.object)
        var change: Int32 = -1
        while index >= 0 {
            let version = history.versions[index]
            if contains(Int(version.event)) {
                if step.transition(in: version.state, machines) != nil { return change }
                change = version.event
            }
            index = version.previous
        }
        return -1
    }

    private func holder(of object: Int32) -> Int32 {
        let state = lock(object)
        return state.isHeld ? state.acquired : -1
    }

    /// A writer's request of the lock that it has not acquired yet.
    private func request(for object: Int32) -> Int32 {
        for event in 0..<history.count
        where history[event].kind == .writeRequest && contains(event)
            && !history[event].traits.contains(.acquires)
            && history.event(event).step.object == object
            && !isClosed(by: history.next(after: event))
        {
            return Int32(event)
        }
        return -1
    }

    private func reader(of object: Int32) -> Int32 {
        for event in 0..<history.count
        where (history[event].kind == .readLock || history[event].kind == .tryReadLock)
            && contains(event) && history[event].traits.contains(.acquires)
            && history.event(event).step.object == object
            && !isClosed(by: history.closer(of: event))
        {
            return Int32(event)
        }
        return -1
    }

    private func bufferedStore(of thread: Int32?, to object: Int32?) -> Int32 {
        for event in 0..<history.count
        where history[event].kind == .bufferedStore && contains(event)
            && (thread == nil || history[event].thread == thread)
            && (object == nil || history.event(event).step.object == object)
            && !isClosed(by: history.closer(of: event))
        {
            return Int32(event)
        }
        return -1
    }

    private func isClosed(by closer: Int?) -> Bool { closer.map(contains) ?? false }

    /// What armed a timer that ends before `deadline` and is armed here.
    private func earlierTimer(than deadline: UInt64, _ thread: Int32) -> Int32 {
        guard hasOrderedTime else { return -1 }
        for event in 0..<history.count where contains(event) && history[event].detail >= 0 {
            let record = history.event(event)
            if record.arms != 0, record.arms < deadline, !isTaskTimerClosed(event) {
                return Int32(event)
            }
            switch record.kind {
            case .arm, .wait, .park:
                guard record.step.deadline != 0, record.step.deadline < deadline,
                    record.thread != thread,
                    record.kind != .park || record.traits.contains(.waits)
                else { continue }
                if let next = history.next(after: event), contains(next) { continue }
                let queue = record.kind == .park ? record.step.other : record.step.object
                if record.kind != .arm, !waiters(queue).contains(record.thread) { continue }
                return Int32(event)
            default: continue
            }
        }
        return -1
    }

    private func isTaskTimerClosed(_ event: Int) -> Bool {
        if let fire = history.closer(of: event), contains(fire) { return true }
        for index in 0..<scheduler.clock.stopped.count {
            let stop = scheduler.clock.stopped[index]
            if Int(stop.fire.opener) == event, contains(Int(stop.position)) { return true }
        }
        return false
    }
}
