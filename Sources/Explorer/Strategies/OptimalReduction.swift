// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Optimal dynamic partial-order reduction with wake-up trees: one execution for each Mazurkiewicz
/// trace.
///
/// An execution is run to its end; its races are then reversed by inserting, for each, the sequence
/// of what did not depend on the first event followed by the second into the wake-up tree of the
/// prefix before the first. Sleep sets keep explored branches from being entered again. (Abdulla,
/// Aronis, Jonsson, Sagonas: POPL 2014, JACM 2017.)
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

    /// A step that was explored from here, or from a shorter prefix of which nothing since
    /// conflicts with it.
    private struct Sleeper: BitwiseCopyable {
        var thread: Int32
        var choice: Int32
        var footprint: Footprint
    }

    private let history = History()
    /// Another place of the execution that is over.
    private let place: Configuration
    private let frames = Stack<Frame>(capacity: 256)
    private let sleepers = Stack<Sleeper>(capacity: 1024)
    private let trees = WakeupTrees()

    /// Events of this execution that happened already; those before `replayed` are the last
    /// execution's.
    private var position = 0
    private var replayed = 0
    /// Where this execution left the last one.
    private var branch = 0
    /// What the wake-up tree wants to happen after the step being taken.
    private var pendingTree: Int32 = -1
    /// Whether a step was met that touches other things at other places than can be told.
    private(set) var isVague = false

    // Scratch for one inserted sequence.
    private let sequence = Stack<Int32>(capacity: 256)
    private let nextOfThread = Stack<Int32>(capacity: 256)
    private let isRemoved = Stack<Bool>(capacity: 256)
    private let firstOfThread = Stack<Int32>(capacity: 64)
    private let lastOfThread = Stack<Int32>(capacity: 64)
    private let path = Stack<Int32>(capacity: 64)
    private let candidates = Stack<Int32>(capacity: 64)
    /// The events without which the step that is reversed could not be taken at all.
    private let anchors = Stack<Int32>(capacity: 4)
    /// What the second event of a race comes after, apart from the race itself.
    private let beginsAfter = Stack<Int32>(capacity: 64)
    /// What is left out so that a step can come earlier.
    private let dropped = Stack<Int32>(capacity: 16)

    override init(_ scheduler: Scheduler) {
        place = Configuration(history, scheduler)
        super.init(scheduler)
    }

    // MARK: Running

    override func beginExecution() {
        position = 0
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
        if frames[position].tree >= 0 {
            let index = frames[position].tree
            let node = trees[index]
            frames[position].tree = node.next
            trees.release(index)
            guard scheduler.isEnabled(node.thread), isPossible(node.choice, of: node.thread) else {
                // Nothing that cannot happen is ever inserted.
                trees.releaseAll(node.firstChild)
                scheduler.defect =
                    "at step \(position + 1) its wake-up tree wants a step of \(scheduler.name(ofThread: node.thread)) that cannot be taken"
                return .allAsleep
            }
            pendingTree = node.firstChild
            return Decision(thread: node.thread, choice: node.choice)
        }
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

    /// Begins the prefix that ends with the last event: those who slept before it and do not
    /// conflict with it sleep on.
    private func enterFrame() {
        let base = sleepers.count
        if position > 0 {
            let last = history.events[position - 1]
            let before = frames[position - 1]
            let findsMore =
                before.sleepCount > 0
                && !scheduler.areStable(last.footprint, among: before.objectCount)
            for index in Int(before.sleepBase)..<Int(before.sleepBase + before.sleepCount) {
                let sleeper = sleepers[index]
                if sleeper.thread == last.thread
                    || sleeper.footprint.conflicts(with: last.footprint)
                {
                    continue
                }
                // What both found in the midst of their steps may be the same.
                if findsMore, !scheduler.areStable(sleeper.footprint, among: before.objectCount) {
                    isVague = true
                    continue
                }
                sleepers.append(sleeper)
            }
        }
        frames.append(
            Frame(
                tree: pendingTree, sleepBase: Int32(base), sleepCount: Int32(sleepers.count - base),
                objectCount: scheduler.objects.count))
        pendingTree = -1
    }

    override func repeats(_ thread: Int32, _ kind: StepKind, _ object: Int32) -> Bool {
        guard position < replayed, history.isStep(position, of: thread, kind, object) else {
            return false
        }
        position += 1
        return true
    }

    override func committed(_ event: Event) -> Divergence? {
        if position < replayed {
            let expected = history.events[position]
            let filter =
                expected.isAmended
                ? expected.footprint.filter & event.footprint.filter : expected.footprint.filter
            if expected.thread != event.thread || expected.kind != event.kind
                || filter != event.footprint.filter
            {
                return Divergence(
                    step: position + 1, expected: scheduler.describe(expected),
                    found: scheduler.describe(event))
            }
            position += 1
            return nil
        }
        // Nobody was asked to pick the passing of time.
        if event.kind == .tick, frames.count == position { enterFrame() }
        history.append(event)
        for index in 0..<scheduler.changes.count { history.addVersion(scheduler.changes[index]) }
        if event.isVague { isVague = true }
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
        if outcome == .blocked {
            if scheduler.defect == nil, !isVague {
                scheduler.defect =
                    "after \(history.count) steps everybody who could go on had been explored"
            }
        } else {
            // Those before the branch were reversed after an earlier execution; but what has
            // happened since may conflict with a step that touches more where it comes earlier.
            for event in 0..<branch where history.events[event].mayGrow {
                reverseRaces(of: history.events, event, at: event)
            }
            for event in branch..<history.count {
                reverseRaces(of: history.events, event, at: event)
            }
            if outcome != .cut {
                // A thread that is blocked at the end has not taken its step: had it come earlier,
                // it might have.
                for index in 0..<scheduler.blockedSteps.count {
                    reverseRaces(of: scheduler.blockedSteps, index, at: history.count)
                }
            }
            for index in 0..<scheduler.stoppedTimers.count {
                reverseStop(scheduler.stoppedTimers[index])
            }
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
            sleepers.append(
                Sleeper(thread: event.thread, choice: event.choice, footprint: event.footprint))
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

    /// Reverses the races of an event, or of a step that was not taken, with what came before
    /// `limit`.
    private func reverseRaces(of steps: borrowing Stack<Event>, _ index: Int, at limit: Int) {
        if steps[index].kind == .reacquire || steps[index].kind == .unpark,
            steps[index].step.deadline != 0
        {
            reverseWakeUp(of: steps[index])
        }
        candidates.removeAll()
        let thread = steps[index].thread
        history.forEachConflict(of: steps[index].footprint, before: limit) { event in
            if history.events[event].thread != thread {
                insertCandidate(Int32(truncatingIfNeeded: event))
            }
        }
        if candidates.isEmpty { return }
        begin(after: steps[index].previous, steps[index].enabler, steps[index].cause)
        var place = 0
        while place < candidates.count {
            let first = Int(candidates[place])
            place += 1
            guard !happensBefore(first) else { continue }
            reverse(first, steps[index])
            beginsAfter.append(Int32(truncatingIfNeeded: first))
        }
    }

    /// A timer was stopped: before that, it might have fired.
    private func reverseStop(_ stop: StoppedTimer) {
        let position = Int(stop.position)
        guard position >= branch, position < history.count else { return }
        begin(after: stop.fire.enabler, -1, -1)
        if !happensBefore(position) { reverse(position, stop.fire) }
    }

    /// A timed wait was ended by a wake-up: before that, its deadline might have passed.
    private func reverseWakeUp(of end: Event) {
        guard end.enabler >= 0, history.events[Int(end.enabler)].thread != end.thread else {
            return
        }
        begin(after: end.previous, -1, -1)
        if !happensBefore(Int(end.enabler)) { reverse(Int(end.enabler), end) }
    }

    private func begin(after first: Int32, _ second: Int32, _ third: Int32) {
        anchors.removeAll()
        if first >= 0 { anchors.append(first) }
        if second >= 0 { anchors.append(second) }
        // Time has passed because the step could not be taken: it might have been, had what stood
        // in its way come later.
        if third >= 0, history.events[Int(third)].kind != .tick { anchors.append(third) }
        beginsAfter.removeAll()
        for index in 0..<anchors.count { beginsAfter.append(anchors[index]) }
        if third >= 0 { beginsAfter.append(third) }
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
        for index in 0..<beginsAfter.count
        where history.happens(event, before: Int(beginsAfter[index])) { return true }
        return false
    }

    /// Whether the step that is reversed cannot be taken without `event`.
    @inline(__always)
    private func isAnchor(_ event: Int) -> Bool {
        for index in 0..<anchors.count where history.happens(event, before: Int(anchors[index])) {
            return true
        }
        return false
    }

    /// Has `second` happen before `first`: inserts what does not depend on `first`, then `second`
    /// as it is without `first`.
    ///
    /// It may be that it cannot happen then: whoever holds the lock at that place acquired it
    /// before `first` gave it back. That is left out too, with all that depends on it, until the
    /// step can happen or cannot at all.
    private func reverse(_ first: Int, _ second: Event) {
        dropped.removeAll()
        dropped.append(Int32(truncatingIfNeeded: first))
        // Where the two meet at the mutex, whatever else happens to it conflicts with `first`: the
        // prefix decides.
        let isDecided =
            second.kind == .lock && history.events[first].footprint.contains(second.step.object)
        if isDecided { place.begin(first) } else { buildSequence() }
        if second.kind == .resume {
            guard isResumed(second, without: first) else { return }
            return insert(second, at: first)
        }
        guard second.step.isMachine else { return insert(second, at: first) }
        while !second.step.isEnabled(in: place) {
            let obstacle = Int(place.obstacle(to: second.step))
            guard obstacle >= 0, history.events[obstacle].thread != second.thread,
                !isAnchor(obstacle)
            else { return }
            if isDecided {
                dropped[0] = Int32(truncatingIfNeeded: obstacle)
                place.begin(obstacle)
            } else {
                dropped.append(Int32(truncatingIfNeeded: obstacle))
                buildSequence()
            }
        }
        if isDecided { buildSequence() }
        insert(applied(second, at: place), at: firstDropped)
    }

    /// `event` as it is at another place.
    private func applied(_ event: Event, at place: Configuration) -> Event {
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
        beginSequence(after: start)
        if dropped.count == 1 {
            let thread = Int(history.events[start].thread)
            let stamp = UInt32(truncatingIfNeeded: start + 1)
            for event in start + 1..<history.count where history.clock(event, thread) < stamp {
                appendToSequence(event)
            }
        } else {
            for event in start..<history.count where !dependsOnDropped(event) {
                appendToSequence(event)
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
                history.events[event].thread == resume.thread
            {
                if history.events[event].footprint.contains(object) { look = event }
                event = Int(history.events[event].previous)
            }
            for event in look + 1..<max(history.count, look + 1)
            where place.contains(event) && history.events[event].thread != resume.thread {
                if history.events[event].wakes(object, resume.footprint) { return true }
            }
        }
        return false
    }

    /// The step at `position` chose a waiter: it might have chosen another.
    private func insertOtherChoices(of position: Int) {
        let event = history.events[position]
        beginSequence(after: position)
        anchors.removeAll()
        var waiters = event.step.choices(in: place) & ~(1 << UInt64(event.choice))
        while waiters != 0 {
            var other = event
            other.choice = Int32(waiters.trailingZeroBitCount)
            waiters &= waiters - 1
            beginSequence(after: position)
            insert(applied(other, at: place), at: position)
        }
    }

    // MARK: Inserting a sequence

    private func beginSequence(after prefix: Int) {
        place.begin(prefix)
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
        place.add(event)
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

    /// Inserts the built sequence followed by `last` into the wake-up tree of the prefix of length
    /// `position`.
    private func insert(_ last: Event, at position: Int) {
        let lastIndex = Int32(truncatingIfNeeded: sequence.count)
        sequence.append(-1)
        link(lastIndex, Int(last.thread))
        var filter = last.footprint.filter
        for index in 0..<Int(lastIndex) {
            filter |= history.events[Int(sequence[index])].footprint.filter
        }

        path.removeAll()
        // Something explored already begins an equivalent of this.
        let frame = frames[position]
        for index in Int(frame.sleepBase)..<Int(frame.sleepBase + frame.sleepCount) {
            let sleeper = sleepers[index]
            let result = match(
                sleeper.thread, sleeper.choice, known(sleeper.footprint, at: position), last, filter
            )
            if result != .no { return }
        }

        var parent: Int32 = -1
        var child = frame.tree
        var tail: Int32 = -1
        while child >= 0 {
            let node = trees[child]
            let result = match(
                node.thread, node.choice, touched(by: node, path(of: node.thread), at: position),
                last, filter)
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
            path.append(result == .independent ? ~node.thread : node.thread)
            parent = child
            tail = -1
            child = node.firstChild
        }
        attach(last, lastIndex, position: position, parent: parent, after: tail)
    }

    /// How many steps of `thread` are on the way from the prefix to where the tree is looked at;
    /// nil where one of them is none of the sequence's, so that what follows may not be what this
    /// execution did.
    private func path(of thread: Int32) -> Int? {
        var count = 0
        for index in 0..<path.count {
            if path[index] == ~thread { return nil }
            if path[index] == thread { count += 1 }
        }
        return count
    }

    /// What the step of a node, `later` steps of its thread after the prefix, touches, in the
    /// numbers that this execution gives to objects.
    ///
    /// An object that carries no label has its number from the thread that came across it first.
    /// Within the prefix, and for all who stand there before their next step, that is the same in
    /// every execution. One that is found later has the number that it has here if its thread did
    /// the same here; else it is unknown, but none of those that are found within the prefix.
    private func touched(by node: WakeupTrees.Node, _ later: Int?, at position: Int) -> Touched {
        if node.isVague { return Touched(footprint: node.footprint, isAnything: true) }
        let limit = frames[position].objectCount
        if scheduler.areStable(node.footprint, among: limit) {
            return Touched(footprint: node.footprint)
        }
        if var left = later {
            for event in position..<history.count where history.events[event].thread == node.thread
            {
                if left > 0 {
                    left -= 1
                    continue
                }
                let found = history.events[event].footprint
                guard found.count == node.footprint.count else { break }
                // The same operation touches the same things in the same order; how is known.
                var result = Footprint()
                for index in 0..<Int(found.count) {
                    result.add(found.object(index), writes: node.footprint.writes(index))
                }
                return Touched(footprint: result)
            }
        }
        return known(node.footprint, at: position)
    }

    /// What is known of a footprint of another execution with the same prefix.
    ///
    /// Whoever stands before a step in the prefix has found what it is done to; what a step finds
    /// in its midst is not known.
    private func known(_ footprint: Footprint, at position: Int) -> Touched {
        let limit = frames[position].objectCount
        if scheduler.areStable(footprint, among: limit) { return Touched(footprint: footprint) }
        var known = Footprint()
        for index in 0..<Int(footprint.count)
        where scheduler.objects.isStable(footprint.object(index), among: limit) {
            known.add(footprint.object(index), writes: footprint.writes(index))
        }
        return Touched(footprint: known, unknownBeyond: limit)
    }

    /// What a step touches, as far as that is known.
    private struct Touched {
        var footprint: Footprint
        /// Whether it may be anything.
        var isAnything = false
        /// It touches an object besides which is none of the first so many; -1 where it does not.
        var unknownBeyond: Int32 = -1
    }

    private func conflicts(_ touched: Touched, _ footprint: Footprint) -> Bool {
        if touched.footprint.conflicts(with: footprint) { return true }
        guard touched.unknownBeyond >= 0,
            !scheduler.areStable(footprint, among: touched.unknownBeyond)
        else {
            return false
        }
        isVague = true
        return true
    }

    private enum Match: Equatable {
        case no, independent
        case initial(Int32)
    }

    /// Whether the step of `thread` can come first in an equivalent of the sequence (is a weak
    /// initial of it).
    private func match(
        _ thread: Int32, _ choice: Int32, _ touched: Touched, _ last: Event, _ filter: UInt64
    ) -> Match {
        let lastIndex = sequence.count - 1
        let index = Int(thread) < firstOfThread.count ? firstOfThread[Int(thread)] : -1
        if index >= 0 {
            let isLast = Int(index) == lastIndex
            let itsChoice = isLast ? last.choice : history.events[Int(sequence[Int(index)])].choice
            guard itsChoice == choice else { return .no }
            return isFirst(Int(index), isLast, last) ? .initial(index) : .no
        }
        if touched.isAnything || !isRemoved[lastIndex] && last.isVague { return .no }
        if touched.unknownBeyond < 0, touched.footprint.filter & filter == 0 { return .independent }
        for index in 0..<lastIndex where !isRemoved[index] {
            if conflicts(touched, history.events[Int(sequence[index])].footprint) { return .no }
        }
        return !isRemoved[lastIndex] && conflicts(touched, last.footprint) ? .no : .independent
    }

    /// Whether nothing in the sequence comes before its element `index`.
    private func isFirst(_ index: Int, _ isLast: Bool, _ last: Event) -> Bool {
        for thread in 0..<min(firstOfThread.count, history.width) {
            let first = firstOfThread[thread]
            guard first >= 0, Int(first) != index, Int(first) < sequence.count - 1 else { continue }
            let other = Int(sequence[Int(first)])
            if isLast ? isAnchor(other) : history.happens(other, before: Int(sequence[index])) {
                return false
            }
        }
        guard isLast else { return true }
        if last.isVague { return !(0..<sequence.count - 1).contains { !isRemoved[$0] } }
        for other in 0..<sequence.count - 1 where !isRemoved[other] {
            if last.footprint.conflicts(with: history.events[Int(sequence[other])].footprint) {
                return false
            }
        }
        return true
    }

    private func attach(
        _ last: Event, _ lastIndex: Int32, position: Int, parent: Int32, after tail: Int32
    ) {
        var parent = parent
        var tail = tail
        for index in 0..<sequence.count where !isRemoved[index] {
            let event = index == Int(lastIndex) ? last : history.events[Int(sequence[index])]
            let node = trees.make(
                thread: event.thread, choice: event.choice, footprint: event.footprint)
            if index == Int(lastIndex), event.isVague { trees[node].isVague = true }
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
