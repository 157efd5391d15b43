// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Finds the races of an execution that is over, and the sequences that reverse them.
///
/// A *race* is a pair of events of different threads that conflict and of which neither has to
/// happen before the other for another reason. It is *reversible* where the second can be taken
/// without the first.
final class RaceReversal {
    private let history: History
    private let scheduler: Scheduler
    private let sequence: ReversalSequence
    private let candidates = Stack<Int32>(capacity: 64)
    /// What the second event of a race comes after, apart from the race itself and the sequence's
    /// anchors.
    private let beginsAfter = Stack<Int32>(capacity: 64)
    /// What is left out so that a step can come earlier.
    private let dropped = Stack<Int32>(capacity: 16)
    /// The strategy that keeps this object. It inserts each sequence into the wake-up tree of the
    /// prefix that the sequence continues.
    private let reduction: Borrowed<OptimalReduction>
    /// The sequence's own.
    private let place: Borrowed<Configuration>

    init(
        _ history: History, _ scheduler: Scheduler, _ sequence: ReversalSequence,
        for reduction: OptimalReduction
    ) {
        self.reduction = Borrowed(reduction)
        place = Borrowed(sequence.place)
        self.history = history
        self.scheduler = scheduler
        self.sequence = sequence
    }

    /// Reverses the races of the event at `position` with what came before it.
    @inline(__always)
    func reverseRaces(of position: Int) {
        candidates.removeAll()
        let (thread, previous) = (history[position].thread, history[position].previous)
        history.forEachConflict(of: position) { collect($0, thread, previous) }
        let kind = history[position].kind
        if candidates.isEmpty, kind != .reacquire, kind != .unpark { return }
        let event = history.event(position)
        reverseWakeUp(of: event)
        reverseCandidates(of: event)
    }

    /// Reverses the races of a step that was not taken.
    func reverseRaces(ofBlocked step: Event) {
        candidates.removeAll()
        history.forEachConflict(of: step.footprint) { collect($0, step.thread, step.previous) }
        reverseWakeUp(of: step)
        reverseCandidates(of: step)
    }

    /// Takes an event that conflicts for a candidate, unless the two are ordered anyway, as most
    /// are.
    @inline(__always)
    private func collect(_ event: Int, _ thread: Int32, _ previous: Int32) {
        if history[event].thread == thread { return }
        if previous >= 0, history.happens(event, before: Int(previous)) { return }
        insertCandidate(Int32(truncatingIfNeeded: event))
    }

    private func reverseCandidates(of second: Event) {
        if candidates.isEmpty { return }
        begin(after: second.previous, second.enabler, second.cause)
        var place = 0
        while place < candidates.count {
            let first = Int(candidates[place])
            place += 1
            guard !happensBefore(first) else { continue }
            reverse(first, second)
            beginsAfter.append(Int32(truncatingIfNeeded: first))
        }
    }

    /// A timer was stopped: before that, it might have fired.
    func reverseStop(_ stop: StoppedTimer) {
        let position = Int(stop.position)
        begin(after: stop.fire.enabler, -1, -1)
        if !happensBefore(position) { reverse(position, stop.fire) }
    }

    /// A timed wait was ended by a wake-up: before that, its deadline might have passed.
    private func reverseWakeUp(of end: Event) {
        guard end.kind == .reacquire || end.kind == .unpark, end.step.deadline != 0,
            end.enabler >= 0, history[Int(end.enabler)].thread != end.thread
        else { return }
        begin(after: end.previous, -1, -1)
        if !happensBefore(Int(end.enabler)) { reverse(Int(end.enabler), end) }
    }

    /// Begins with a step that comes after these events, -1 for none.
    private func begin(after previous: Int32, _ enabler: Int32, _ cause: Int32) {
        // Time has passed because the step could not be taken: it might have been, had what stood
        // in its way come later.
        let isTick = cause >= 0 && history[Int(cause)].kind == .tick
        sequence.setAnchors(previous, enabler, isTick ? -1 : cause)
        beginsAfter.removeAll()
        if isTick { beginsAfter.append(cause) }
    }

    /// Keeps the candidates latest first, each once.
    private func insertCandidate(_ event: Int32) {
        var index = candidates.count
        while index > 0, candidates[index - 1] < event { index -= 1 }
        if index > 0, candidates[index - 1] == event { return }
        candidates.append(event)
        var last = candidates.count - 1
        while last > index {
            candidates[last] = candidates[last - 1]
            last -= 1
        }
        candidates[index] = event
    }

    /// Whether `event` happens before the second event of the race, apart from the race itself.
    @inline(__always)
    private func happensBefore(_ event: Int) -> Bool {
        if sequence.isAnchor(event) { return true }
        for index in 0..<beginsAfter.count
        where history.happens(event, before: Int(beginsAfter[index])) { return true }
        return false
    }

    /// Reverses the race of `first` and `second`: inserts what does not depend on `first`, then
    /// `second` as it is without `first`.
    ///
    /// It may not be possible then: the thread that holds the lock at that place acquired it
    /// before `first` gave it back. That is left out too, with all that depends on it, until the
    /// step can happen or cannot at all.
    private func reverse(_ first: Int, _ second: Event) {
        dropped.removeAll()
        dropped.append(Int32(truncatingIfNeeded: first))
        // Where the two meet at the mutex, whatever else happens to it conflicts with `first`: the
        // prefix decides.
        let isDecided =
            second.kind == .lock && history.footprint(first).contains(second.step.object)
        if isDecided { place.with { $0.begin(first) } } else { buildSequence() }
        if second.kind == .resume {
            guard isResumed(second, without: first) else { return }
            return finish(second, at: first)
        }
        guard second.step.isMachine else { return finish(second, at: first) }
        while !place.with({ second.step.isEnabled(in: $0) }) {
            let obstacle = Int(place.with { $0.obstacle(to: second.step) })
            guard obstacle >= 0, history[obstacle].thread != second.thread,
                !sequence.isAnchor(obstacle)
            else { return }
            if isDecided {
                dropped[0] = Int32(truncatingIfNeeded: obstacle)
                place.with { $0.begin(obstacle) }
            } else {
                dropped.append(Int32(truncatingIfNeeded: obstacle))
                buildSequence()
            }
        }
        if isDecided { buildSequence() }
        finish(applied(second), at: firstDropped)
    }

    private func finish(_ last: Event, at position: Int) {
        sequence.end(with: last)
        reduction.with { $0.insertSequence(at: position) }
    }

    /// `event` as it is at the end of the sequence.
    private func applied(_ event: Event) -> Event {
        place.with { applied(event, to: $0) }
    }

    @inline(__always)
    private func applied(_ event: Event, to place: Configuration) -> Event {
        var result = event
        let choices = event.step.choices(in: place)
        if choices == 0 {
            result.choice = -1
        } else if event.choice < 0 || choices & (1 << UInt64(event.choice)) == 0 {
            result.choice = Int32(choices.trailingZeroBitCount)
        }
        place.found = event.old
        let effect = event.step.apply(to: place, choosing: result.choice, at: -1)
        result.kind = effect.kind
        result.footprint = effect.footprint
        scheduler.addJobs(to: &result)
        return result
    }

    /// Makes the sequence of what depends on nothing that was dropped.
    private func buildSequence() {
        let start = firstDropped
        sequence.begin(after: start)
        if dropped.count == 1 {
            let thread = Int(history[start].thread)
            let stamp = UInt32(truncatingIfNeeded: start + 1)
            for event in start + 1..<history.count where history.clock(event, thread) < stamp {
                sequence.append(event)
            }
        } else {
            for event in start..<history.count where !dependsOnDropped(event) {
                sequence.append(event)
            }
        }
    }

    /// The earliest of what is left out: where the reversed step comes instead.
    private var firstDropped: Int {
        var first = Int(dropped[0])
        for index in 1..<dropped.count { first = min(first, Int(dropped[index])) }
        return first
    }

    private func dependsOnDropped(_ event: Int) -> Bool {
        for index in 0..<dropped.count where history.happens(Int(dropped[index]), before: event) {
            return true
        }
        return false
    }

    /// Whether a spinning thread goes on although `first` has not happened: something else that it
    /// read in its last round was written since.
    private func isResumed(_ resume: Event, without first: Int) -> Bool {
        for index in 0..<Int(resume.footprint.count) {
            let object = resume.footprint.object(index)
            // Its first look at the object in that round.
            var look = Int(resume.previous)
            var event = look
            while event >= Int(resume.round), event >= 0,
                history[event].thread == resume.thread
            {
                if history.footprint(event).contains(object) { look = event }
                event = Int(history[event].previous)
            }
            for event in look + 1..<max(history.count, look + 1)
            where place.with({ $0.contains(event) }) && history[event].thread != resume.thread {
                if history.event(event).wakes(object, resume.footprint) { return true }
            }
        }
        return false
    }

    /// The step at `position` chose a waiter: it might have chosen another.
    func insertOtherChoices(of position: Int) {
        let event = history.event(position)
        sequence.begin(after: position)
        sequence.setAnchors(-1, -1, -1)
        var waiters = place.with({ event.step.choices(in: $0) }) & ~(1 << UInt64(event.choice))
        while waiters != 0 {
            var other = event
            other.choice = Int32(waiters.trailingZeroBitCount)
            waiters &= waiters - 1
            sequence.begin(after: position)
            finish(applied(other), at: position)
        }
    }
}
