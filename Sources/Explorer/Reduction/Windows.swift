// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What the reversal of a race must know of steps that wait: locks, timers, barriers.
///
/// Such a step is kept from happening by windows that others have open: from a lock to its unlock, from a buffered store to its flush, from the arming of an
/// earlier timer to its firing. What closed the window enabled the step and cannot be reversed with it; what opened it can.
enum Windows {
    /// Steps that several windows at once can keep from happening.
    static func needsAll(_ kind: StepKind) -> Bool {
        switch kind {
        case .membarrier, .timeout, .fire, .readLock, .writeLock: true
        default: false
        }
    }

    /// The event to reverse with `second`, whose nearest conflict is `first`; nil when there is none.
    static func partner(of second: Event, at first: Int, in history: History) -> Int? {
        let event = history.events[first]
        switch second.kind {
        case .lock, .reacquire:
            // unlock → lock enables; the race is between the locks. A condition's wait unlocks too.
            if event.kind == .tryLock, !event.footprint.writes(0) { return nil }
            guard event.kind == .unlock || event.kind == .wait, event.opener >= 0 else { return first }
            return Int(event.opener)
        case .readLock:
            guard event.kind == .writeUnlock, event.opener >= 0 else { return first }
            return arrival(Int(event.opener), in: history)
        case .writeLock:
            guard event.kind == .writeUnlock || event.kind == .readUnlock, event.opener >= 0 else { return first }
            return Int(event.opener)
        case .membarrier:
            guard event.kind == .flush, event.opener >= 0 else { return first }
            return Int(event.opener)
        case .timeout, .fire:
            guard event.opener >= 0, blocks(timer: Int(event.opener), second, in: history) else { return first }
            return Int(event.opener)
        default:
            return first
        }
    }

    /// Whether `event` opens a window that keeps `second` from happening.
    static func opens(_ index: Int, against second: Event, in history: History) -> Bool {
        let event = history.events[index]
        guard event.thread != second.thread else { return false }
        switch second.kind {
        case .membarrier:
            return event.kind == .bufferedStore
        case .timeout, .fire:
            return blocks(timer: index, second, in: history)
        case .readLock:
            // A writer keeps readers out from its arrival on, whether or not it got the lock at once.
            return
                (event.acquires && event.kind != .readLock && event.kind != .tryReadLock || event.kind == .writeRequest)
                && sharesObject(event, second)
        case .writeLock:
            return event.acquires && sharesObject(event, second)
        default:
            return false
        }
    }

    /// `second` as it would be if it came before `first`.
    static func reversed(_ second: Event, before first: Event) -> Event {
        var event = second
        if second.isConditional {
            for index in 0..<Int(second.footprint.count) {
                let object = second.footprint.object(index)
                for other in 0..<Int(first.footprint.count)
                where first.footprint.object(other) == object && first.footprint.writes(other) {
                    let succeeds = second.comparesBits ? first.old == second.expected : takes(first.kind)
                    event.footprint.set(object, writes: succeeds)
                    return event
                }
            }
        }
        if second.kind == .load, first.kind == .flush, first.opensFor(second) {
            // Before its own store is flushed, the load takes it from the buffer.
            event.footprint.remove(first.footprint.object(0))
        }
        if second.wakes, first.waitersTold, sharesObject(first, second) { rechoose(&event, from: first) }
        return event
    }

    /// Has a wake-up choose among those who waited before `first`.
    private static func rechoose(_ event: inout Event, from first: Event) {
        let waiters = first.old.low
        event.old.low = waiters
        event.expected.low = first.expected.low
        var woken = waiters
        if event.kind != .broadcast {
            if waiters & (waiters &- 1) == 0 {
                event.choice = -1
            } else {
                if event.choice < 0 || waiters & (1 << UInt64(event.choice)) == 0 {
                    event.choice = Int32(waiters.trailingZeroBitCount)
                }
                woken = 1 << UInt64(event.choice)
            }
        }
        // A wake-up that ends a timed wait lets time pass.
        event.footprint.remove(ObjectTable.clock)
        if woken & first.expected.low != 0 { event.footprint.add(ObjectTable.clock, writes: true) }
    }

    /// Whether a try that follows fails because of this step, and would have succeeded before it.
    private static func takes(_ kind: StepKind) -> Bool {
        switch kind {
        case .unlock, .readUnlock, .writeUnlock, .wait: false
        default: true
        }
    }

    /// Where a writer's window for readers begins: its request, if it had to wait.
    private static func arrival(_ lock: Int, in history: History) -> Int {
        let previous = Int(history.events[lock].previous)
        if previous >= 0, history.events[previous].kind == .writeRequest,
            sharesObject(history.events[previous], history.events[lock])
        {
            return previous
        }
        return lock
    }

    private static func blocks(timer index: Int, _ second: Event, in history: History) -> Bool {
        let event = history.events[index]
        if event.arms != 0, event.arms < second.deadline { return true }
        switch event.kind {
        case .arm, .wait, .park: return event.deadline != 0 && event.deadline < second.deadline
        default: return false
        }
    }

    private static func sharesObject(_ first: Event, _ second: Event) -> Bool {
        first.footprint.count > 0 && second.footprint.count > 0
            && first.footprint.object(0) == second.footprint.object(0)
    }
}

extension Event {
    fileprivate var wakes: Bool { kind == .signal || kind == .wake || kind == .broadcast }

    /// Whether this flush is of the thread that takes `load`: only then do the two share the object that stands for its buffer.
    fileprivate func opensFor(_ load: Event) -> Bool {
        for index in 0..<Int(footprint.count) where footprint.writes(index) && index > 0 {
            for other in 0..<Int(load.footprint.count) where load.footprint.object(other) == footprint.object(index) {
                return true
            }
        }
        return false
    }

    /// Whether `old.low` is the set of an object's waiters before this step.
    var waitersTold: Bool {
        switch kind {
        case .wait, .park, .signal, .broadcast, .wake, .timeout: true
        default: false
        }
    }
}
