// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Optimal dynamic partial-order reduction with wake-up trees: one execution for each Mazurkiewicz trace.
///
/// An execution is run to its end; its races are then reversed by inserting, for each, the sequence of what did not
/// depend on the first event followed by the second into the wake-up tree of the prefix before the first. Sleep sets keep
/// explored branches from being entered again. (Abdulla, Aronis, Jonsson, Sagonas: POPL 2014, JACM 2017.)
class OptimalReduction: Strategy {
    /// A prefix of the current execution.
    private struct Frame: BitwiseCopyable {
        /// The branches still to be explored from here; the one being explored is not among them.
        var tree: Int32
        /// This prefix's sleep set: a range of `sleepers`.
        var sleepBase: Int32
        var sleepCount: Int32
        /// How many objects there are at its end.
        var objectCount: Int32
    }

    /// A step that was explored from here, or from a shorter prefix of which nothing since conflicts with it.
    private struct Sleeper: BitwiseCopyable {
        var thread: Int32
        var choice: Int32
        var footprint: Footprint
    }

    private let history = History()
    private let frames = Stack<Frame>(capacity: 256)
    private let sleepers = Stack<Sleeper>(capacity: 1024)
    private let trees = WakeupTrees()

    /// Events of this execution that happened already; those before `replayed` are the last execution's.
    private var position = 0
    private var replayed = 0
    /// Where this execution left the last one.
    private var branch = 0
    /// What the wake-up tree wants to happen after the step being taken.
    private var pendingTree: Int32 = -1
    private var isInfeasible = false

    // Scratch for one inserted sequence.
    private let sequence = Stack<Int32>(capacity: 256)
    private let nextOfThread = Stack<Int32>(capacity: 256)
    private let isRemoved = Stack<Bool>(capacity: 256)
    private let firstOfThread = Stack<Int32>(capacity: 64)
    private let lastOfThread = Stack<Int32>(capacity: 64)
    private let candidates = Stack<Int32>(capacity: 64)
    /// What the second event of a race comes after, apart from the race itself.
    private let beginsAfter = Stack<Int32>(capacity: 64)

    // MARK: Running

    override func beginExecution() {
        position = 0
        isInfeasible = false
        scheduler.replayedSteps = replayed
    }

    override func repeatLast() {
        replayed = history.count
    }

    override func choose() -> Decision {
        if position < replayed {
            let event = history.events[position]
            return Decision(thread: event.thread, choice: event.choice)
        }
        if frames.count == position { enterFrame() }
        // What a wake-up tree wants comes first.
        while frames[position].tree >= 0 {
            let index = frames[position].tree
            let node = trees[index]
            frames[position].tree = node.next
            trees.release(index)
            if scheduler.isEnabled(node.thread), isPossible(node.choice, of: node.thread) {
                pendingTree = node.firstChild
                return Decision(thread: node.thread, choice: node.choice)
            }
            trees.releaseAll(node.firstChild)
            isInfeasible = true
        }
        if isInfeasible, position == branch { return .allAsleep }
        pendingTree = -1
        return arbitrary()
    }

    private func isPossible(_ choice: Int32, of thread: Int32) -> Bool {
        let waiters = scheduler.choices(of: thread)
        return waiters == 0 ? choice < 0 : choice >= 0 && waiters & (1 << UInt64(choice)) != 0
    }

    private func arbitrary() -> Decision {
        let current = scheduler.current
        if current >= 0, let decision = awake(current) { return decision }
        var someoneSleeps = current >= 0 && scheduler.isEnabled(current)
        for thread in 0..<scheduler.threadCount where thread != current {
            guard scheduler.isEnabled(thread) else { continue }
            if let decision = awake(thread) { return decision }
            someoneSleeps = true
        }
        return someoneSleeps ? .allAsleep : .nobody
    }

    /// A step of `thread` that can happen and does not sleep.
    @inline(__always)
    private func awake(_ thread: Int32) -> Decision? {
        guard scheduler.isEnabled(thread) else { return nil }
        var waiters = scheduler.choices(of: thread)
        if waiters == 0 { return isAsleep(thread, -1) ? nil : Decision(thread: thread) }
        while waiters != 0 {
            let choice = Int32(waiters.trailingZeroBitCount)
            if !isAsleep(thread, choice) { return Decision(thread: thread, choice: choice) }
            waiters &= waiters - 1
        }
        return nil
    }

    @inline(__always)
    private func isAsleep(_ thread: Int32, _ choice: Int32) -> Bool {
        let frame = frames[position]
        for index in Int(frame.sleepBase)..<Int(frame.sleepBase + frame.sleepCount)
        where sleepers[index].thread == thread && sleepers[index].choice == choice { return true }
        return false
    }

    /// Begins the prefix that ends with the last event: those who slept before it and do not conflict with it sleep on.
    private func enterFrame() {
        let base = sleepers.count
        if position > 0 {
            let last = history.events[position - 1]
            let before = frames[position - 1]
            // What was first come across beyond the prefix may have another number where the sleeper met it.
            let isVague =
                before.sleepCount > 0 && !scheduler.areStable(last.footprint, among: before.objectCount)
            for index in Int(before.sleepBase)..<Int(before.sleepBase + before.sleepCount) {
                let sleeper = sleepers[index]
                if sleeper.thread == last.thread || sleeper.footprint.conflicts(with: last.footprint) { continue }
                if isVague, !scheduler.areStable(sleeper.footprint, among: before.objectCount) { continue }
                sleepers.append(sleeper)
            }
        }
        frames.append(
            Frame(
                tree: pendingTree, sleepBase: Int32(base), sleepCount: Int32(sleepers.count - base),
                objectCount: scheduler.objectCount))
        pendingTree = -1
    }

    override func repeats(_ thread: Int32, _ kind: StepKind, _ object: Int32) -> Bool {
        guard position < replayed, history.isStep(position, of: thread, kind, object) else { return false }
        position += 1
        return true
    }

    override func committed(_ event: Event) -> Divergence? {
        if position < replayed {
            let expected = history.events[position]
            let filter =
                expected.isAmended
                ? expected.footprint.filter & event.footprint.filter : expected.footprint.filter
            if expected.thread != event.thread || expected.kind != event.kind || filter != event.footprint.filter {
                return Divergence(
                    step: position + 1, expected: scheduler.describe(expected), found: scheduler.describe(event))
            }
            position += 1
            return nil
        }
        history.append(event)
        position += 1
        if event.choice >= 0 { insertOtherChoices(of: position - 1) }
        return nil
    }

    override func amended(_ event: Event) {
        // Of a repeated step it is known already.
        if position > replayed { history.amendLast(event) }
    }

    // MARK: Reversing races

    override func endExecution(_ outcome: Outcome) -> Bool {
        if pendingTree >= 0 {
            trees.releaseAll(pendingTree)
            pendingTree = -1
        }
        dropFrames(to: history.count)
        if outcome != .blocked && outcome != .cut {
            for event in branch..<history.count { reverseRaces(of: event) }
            for index in 0..<scheduler.blockedSteps.count { reverseRaces(ofBlocked: scheduler.blockedSteps[index]) }
        } else if outcome == .cut {
            for event in branch..<history.count { reverseRaces(of: event) }
        }
        if outcome != .blocked {
            for index in 0..<scheduler.stoppedTimers.count { reverseStop(scheduler.stoppedTimers[index]) }
        }
        return backtrack()
    }

    private func dropFrames(to count: Int) {
        while frames.count > count {
            trees.releaseAll(frames[frames.count - 1].tree)
            frames.truncate(to: frames.count - 1)
        }
    }

    private func backtrack() -> Bool {
        while !frames.isEmpty {
            let last = frames.count - 1
            let frame = frames[last]
            let event = history.events[last]
            sleepers.truncate(to: Int(frame.sleepBase + frame.sleepCount))
            sleepers.append(Sleeper(thread: event.thread, choice: event.choice, footprint: event.footprint))
            frames[last].sleepCount += 1
            history.truncate(to: last)
            if frame.tree >= 0 {
                branch = last
                replayed = last
                return true
            }
            frames.truncate(to: last)
        }
        return false
    }

    private func reverseRaces(of position: Int) {
        reverse(history.events[position], at: position)
    }

    /// A thread that is blocked at the end has not taken its step: had it come earlier, it might have.
    private func reverseRaces(ofBlocked event: Event) {
        reverse(event, at: history.count)
    }

    private func reverse(_ second: Event, at limit: Int) {
        if second.kind == .reacquire || second.kind == .unpark, second.deadline != 0 { reverseWakeUp(of: second) }
        candidates.removeAll()
        history.forEachConflict(of: second.footprint, before: limit) { event in
            if history.events[event].thread != second.thread { insertCandidate(Int32(truncatingIfNeeded: event)) }
        }
        if candidates.isEmpty { return }
        beginsAfter.removeAll()
        if second.previous >= 0 { beginsAfter.append(second.previous) }
        if second.enabler >= 0 { beginsAfter.append(second.enabler) }
        if second.cause >= 0 { beginsAfter.append(second.cause) }
        var index = 0
        while index < candidates.count {
            let first = Int(candidates[index])
            index += 1
            guard !happensBefore(first) else { continue }
            guard let partner = Windows.partner(of: second, at: first, in: history) else { continue }
            if history.events[partner].thread != second.thread, !happensBefore(partner) {
                reverse(partner, second)
            }
            beginsAfter.append(Int32(truncatingIfNeeded: first))
        }
    }

    /// A timer was stopped: before that, it might have fired.
    private func reverseStop(_ stop: StoppedTimer) {
        let position = Int(stop.position)
        guard position >= branch, position < history.count else { return }
        beginsAfter.removeAll()
        beginsAfter.append(stop.fire.enabler)
        candidates.removeAll()
        if !happensBefore(position) { reverse(position, stop.fire) }
    }

    /// A timed wait was ended by a wake-up: before that, its deadline might have passed.
    private func reverseWakeUp(of end: Event) {
        guard end.enabler >= 0, end.previous >= 0, history.events[Int(end.enabler)].thread != end.thread else { return }
        let wait = history.events[Int(end.previous)]
        var timeout = Event(thread: end.thread, kind: .timeout)
        timeout.previous = end.previous
        timeout.deadline = end.deadline
        timeout.opener = end.previous
        for index in 0..<Int(wait.footprint.count) where wait.footprint.writes(index) {
            timeout.footprint.add(wait.footprint.object(index), writes: true)
            break
        }
        timeout.footprint.add(ObjectTable.clock, writes: true)
        beginsAfter.removeAll()
        beginsAfter.append(end.previous)
        candidates.removeAll()
        if !happensBefore(Int(end.enabler)) { reverse(Int(end.enabler), timeout) }
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
        for index in 0..<beginsAfter.count where history.happens(event, before: Int(beginsAfter[index])) { return true }
        return false
    }

    /// Has `second` happen before `first`: inserts what does not depend on `first`, then `second`, where `first` was taken.
    private func reverse(_ first: Int, _ second: Event) {
        var start = first
        if Windows.needsAll(second.kind) {
            guard let adjusted = buildSequence(droppingWindowsFor: second, from: first) else { return }
            start = adjusted
        } else {
            beginSequence()
            let thread = Int(history.events[first].thread)
            let stamp = UInt32(truncatingIfNeeded: first + 1)
            for event in first + 1..<history.count where history.clock(event, thread) < stamp {
                appendToSequence(event)
            }
            if second.kind == .resume, !isResumed(second, without: first) { return }
        }
        insert(Windows.reversed(second, before: history.events[first]), at: start)
    }

    /// Whether a spinning thread goes on although `first` has not happened: something else that it read was written.
    private func isResumed(_ resume: Event, without first: Int) -> Bool {
        for event in Int(resume.previous) + 1..<history.count
        where event < first || (event > first && isInSequence(event)) {
            if history.events[event].thread != resume.thread, !history.events[event].isSilent,
                history.events[event].footprint.conflicts(with: resume.footprint)
            {
                return true
            }
        }
        return false
    }

    /// As above, where every window that keeps `second` from happening must be closed or left out.
    private func buildSequence(droppingWindowsFor second: Event, from first: Int) -> Int? {
        candidates.append(Int32(truncatingIfNeeded: first))
        let base = candidates.count - 1
        defer { candidates.truncate(to: base) }
        var start = first
        while true {
            beginSequence()
            for event in start..<history.count where !dependsOnDropped(event, base) { appendToSequence(event) }
            var dropped = -1
            for event in 0..<history.count where Windows.opens(event, against: second, in: history) {
                guard event < start || isInSequence(event) else { continue }
                if let closer = history.closer(of: event), closer < start || isInSequence(closer) { continue }
                dropped = event
                break
            }
            if dropped < 0 { return start }
            // One that happens before `second` in any case cannot be left out.
            if history.events[dropped].thread == second.thread || happensBefore(dropped) { return nil }
            candidates.append(Int32(truncatingIfNeeded: dropped))
            start = min(start, dropped)
        }
    }

    private func dependsOnDropped(_ event: Int, _ base: Int) -> Bool {
        for index in base..<candidates.count where history.happens(Int(candidates[index]), before: event) {
            return true
        }
        return false
    }

    private func isInSequence(_ event: Int) -> Bool {
        for index in 0..<sequence.count where sequence[index] == Int32(truncatingIfNeeded: event) { return true }
        return false
    }

    private func insertOtherChoices(of position: Int) {
        let event = history.events[position]
        var waiters = event.old.low & ~(1 << UInt64(event.choice))
        while waiters != 0 {
            var other = event
            other.choice = Int32(waiters.trailingZeroBitCount)
            waiters &= waiters - 1
            beginSequence()
            beginsAfter.removeAll()
            insert(other, at: position)
        }
    }

    // MARK: Inserting a sequence

    private func beginSequence() {
        sequence.removeAll()
        nextOfThread.removeAll()
        isRemoved.removeAll()
        let threads = Int(scheduler.threadCount)
        firstOfThread.refill(threads, with: -1)
        lastOfThread.refill(threads, with: -1)
    }

    @inline(__always)
    private func appendToSequence(_ event: Int) {
        let index = Int32(truncatingIfNeeded: sequence.count)
        sequence.append(Int32(truncatingIfNeeded: event))
        link(index, Int(history.events[event].thread))
    }

    @inline(__always)
    private func link(_ index: Int32, _ thread: Int) {
        nextOfThread.append(-1)
        isRemoved.append(false)
        if lastOfThread[thread] < 0 {
            firstOfThread[thread] = index
        } else {
            nextOfThread[Int(lastOfThread[thread])] = index
        }
        lastOfThread[thread] = index
    }

    /// Inserts the built sequence followed by `last` into the wake-up tree of the prefix of length `position`.
    private func insert(_ last: Event, at position: Int) {
        let lastIndex = Int32(truncatingIfNeeded: sequence.count)
        sequence.append(-1)
        link(lastIndex, Int(last.thread))
        var filter = last.footprint.filter
        for index in 0..<Int(lastIndex) { filter |= history.events[Int(sequence[index])].footprint.filter }

        // Something explored already begins an equivalent of this.
        let frame = frames[position]
        for index in Int(frame.sleepBase)..<Int(frame.sleepBase + frame.sleepCount) {
            let sleeper = sleepers[index]
            let result = match(
                sleeper.thread, sleeper.choice, sleeper.footprint, last, filter, stableAmong: frame.objectCount)
            if result != .no { return }
        }

        var parent: Int32 = -1
        var child = frame.tree
        var tail: Int32 = -1
        while child >= 0 {
            let node = trees[child]
            let result = match(
                node.thread, node.choice, node.footprint, last, filter, stableAmong: frame.objectCount)
            if result == .no {
                tail = child
                child = node.next
                continue
            }
            if case .initial(let index) = result {
                isRemoved[Int(index)] = true
                firstOfThread[Int(node.thread)] = nextOfThread[Int(index)]
            }
            // A leaf stands for everything that begins as it does.
            if node.firstChild < 0 { return }
            parent = child
            tail = -1
            child = node.firstChild
        }
        attach(last, lastIndex, position: position, parent: parent, after: tail)
    }

    private enum Match: Equatable {
        case no, independent
        case initial(Int32)
    }

    /// Whether the step of `thread` can come first in an equivalent of the sequence (is a weak initial of it).
    private func match(
        _ thread: Int32, _ choice: Int32, _ footprint: Footprint, _ last: Event, _ filter: UInt64,
        stableAmong limit: Int32
    ) -> Match {
        let lastIndex = sequence.count - 1
        let index = Int(thread) < firstOfThread.count ? firstOfThread[Int(thread)] : -1
        if index >= 0 {
            let isLast = Int(index) == lastIndex
            let itsChoice = isLast ? last.choice : history.events[Int(sequence[Int(index)])].choice
            guard itsChoice == choice else { return .no }
            return isFirst(Int(index), isLast, last) ? .initial(index) : .no
        }
        // An object first come across beyond the prefix may have another number there: assume the worst.
        if limit < .max, !scheduler.areStable(footprint, among: limit) {
            for index in 0..<sequence.count where !isRemoved[index] {
                let other = index == lastIndex ? last.footprint : history.events[Int(sequence[index])].footprint
                if !scheduler.areStable(other, among: limit) || footprint.conflicts(with: other) { return .no }
            }
            return .independent
        }
        if footprint.filter & filter == 0 { return .independent }
        for index in 0..<lastIndex where !isRemoved[index] {
            if footprint.conflicts(with: history.events[Int(sequence[index])].footprint) { return .no }
        }
        return !isRemoved[lastIndex] && footprint.conflicts(with: last.footprint) ? .no : .independent
    }

    /// Whether nothing in the sequence comes before its element `index`.
    private func isFirst(_ index: Int, _ isLast: Bool, _ last: Event) -> Bool {
        for thread in 0..<min(firstOfThread.count, history.width) {
            let first = firstOfThread[thread]
            guard first >= 0, Int(first) != index, Int(first) < sequence.count - 1 else { continue }
            let other = Int(sequence[Int(first)])
            if isLast ? happensBefore(other) : history.happens(other, before: Int(sequence[index])) { return false }
        }
        guard isLast else { return true }
        for other in 0..<sequence.count - 1 where !isRemoved[other] {
            if last.footprint.conflicts(with: history.events[Int(sequence[other])].footprint) { return false }
        }
        return true
    }

    private func attach(_ last: Event, _ lastIndex: Int32, position: Int, parent: Int32, after tail: Int32) {
        var parent = parent
        var tail = tail
        for index in 0..<sequence.count where !isRemoved[index] {
            let event = index == Int(lastIndex) ? last : history.events[Int(sequence[index])]
            let node = trees.make(thread: event.thread, choice: event.choice, footprint: event.footprint)
            if tail >= 0 {
                trees[tail].next = node
            } else if parent >= 0 {
                trees[parent].firstChild = node
            } else {
                frames[position].tree = node
            }
            parent = node
            tail = -1
        }
    }
}
