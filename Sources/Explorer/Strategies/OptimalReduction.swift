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
    private var isVague = false

    private let sequence: ReversalSequence
    private let races: RaceReversal
    /// The threads of the nodes that an insertion has passed; inverted for one that has no step in
    /// the sequence.
    private let path = Stack<Int32>(capacity: 64)

    override init(_ scheduler: Scheduler) {
        sequence = ReversalSequence(history, scheduler)
        races = RaceReversal(history, scheduler, sequence)
        super.init(scheduler)
        races.insert = { [unowned self] in insertSequence(at: $0) }
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
            return Decision(
                thread: history.events[position].thread, choice: history.events[position].choice)
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
        if position > 0, frames[position - 1].sleepCount > 0 { keepSleepers(of: position - 1) }
        frames.append(
            Frame(
                tree: pendingTree, sleepBase: Int32(base), sleepCount: Int32(sleepers.count - base),
                objectCount: scheduler.objects.count))
        pendingTree = -1
    }

    /// Those who slept at the prefix `before` and do not conflict with the event after it sleep on.
    private func keepSleepers(of before: Int) {
        let (thread, footprint) = (history.events[before].thread, history.events[before].footprint)
        let frame = frames[before]
        let findsMore = !scheduler.areStable(footprint, among: frame.objectCount)
        for index in Int(frame.sleepBase)..<Int(frame.sleepBase + frame.sleepCount) {
            let sleeper = sleepers[index]
            if sleeper.thread == thread || sleeper.footprint.conflicts(with: footprint) { continue }
            // What both found in the midst of their steps may be the same.
            if findsMore, !scheduler.areStable(sleeper.footprint, among: frame.objectCount) {
                isVague = true
                continue
            }
            sleepers.append(sleeper)
        }
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
        if event.choice >= 0 { races.insertOtherChoices(of: position - 1) }
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
            if scheduler.defect == nil, !isVague, !sequence.isVague {
                scheduler.defect =
                    "after \(history.count) steps everybody who could go on had been explored"
            }
        } else {
            // Those before the branch were reversed after an earlier execution; but what has
            // happened since may conflict with a step that touches more where it comes earlier.
            for event in 0..<branch where history.events[event].mayGrow {
                races.reverseRaces(of: history.events, event, at: event)
            }
            for event in branch..<history.count {
                races.reverseRaces(of: history.events, event, at: event)
            }
            if outcome != .cut {
                // A thread that is blocked at the end has not taken its step: had it come earlier,
                // it might have.
                for index in 0..<scheduler.blockedSteps.count {
                    races.reverseRaces(of: scheduler.blockedSteps, index, at: history.count)
                }
            }
            for index in 0..<scheduler.stoppedTimers.count {
                let stop = scheduler.stoppedTimers[index]
                if Int(stop.position) >= branch, Int(stop.position) < history.count {
                    races.reverseStop(stop)
                }
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
            sleepers.truncate(to: Int(frame.sleepBase + frame.sleepCount))
            sleepers.append(
                Sleeper(
                    thread: history.events[last].thread, choice: history.events[last].choice,
                    footprint: history.events[last].footprint))
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

    // MARK: Inserting a sequence

    /// Inserts the sequence into the wake-up tree of the prefix of length `position`.
    private func insertSequence(at position: Int) {
        path.removeAll()
        // Something explored already begins an equivalent of this.
        let frame = frames[position]
        for index in Int(frame.sleepBase)..<Int(frame.sleepBase + frame.sleepCount) {
            let sleeper = sleepers[index]
            let result = sequence.match(
                sleeper.thread, sleeper.choice, known(sleeper.footprint, at: position))
            if result != .no { return }
        }

        var parent: Int32 = -1
        var child = frame.tree
        var tail: Int32 = -1
        while child >= 0 {
            let node = trees[child]
            let result = sequence.match(
                node.thread, node.choice, touched(by: node, path(of: node.thread), at: position))
            if result == .no {
                tail = child
                child = node.next
                continue
            }
            if case .initial(let index) = result {
                sequence.remove(index, of: node.thread)
            }
            // A leaf stands for everything that begins as it does.
            if node.firstChild < 0 { return }
            path.append(result == .independent ? ~node.thread : node.thread)
            parent = child
            tail = -1
            child = node.firstChild
        }
        attach(position: position, parent: parent, after: tail)
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
    private func touched(by node: WakeupTrees.Node, _ later: Int?, at position: Int)
        -> KnownFootprint
    {
        if node.isVague { return KnownFootprint(footprint: node.footprint, isAnything: true) }
        let limit = frames[position].objectCount
        if scheduler.areStable(node.footprint, among: limit) {
            return KnownFootprint(footprint: node.footprint)
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
                return KnownFootprint(footprint: result)
            }
        }
        return known(node.footprint, at: position)
    }

    /// What is known of a footprint of another execution with the same prefix.
    ///
    /// Whoever stands before a step in the prefix has found what it is done to; what a step finds
    /// in its midst is not known.
    private func known(_ footprint: Footprint, at position: Int) -> KnownFootprint {
        let limit = frames[position].objectCount
        if scheduler.areStable(footprint, among: limit) {
            return KnownFootprint(footprint: footprint)
        }
        var known = Footprint()
        for index in 0..<Int(footprint.count)
        where scheduler.objects.isStable(footprint.object(index), among: limit) {
            known.add(footprint.object(index), writes: footprint.writes(index))
        }
        return KnownFootprint(footprint: known, unknownBeyond: limit)
    }

    /// Puts what is left of the sequence under `parent`, after its child `tail`.
    private func attach(position: Int, parent: Int32, after tail: Int32) {
        var parent = parent
        var tail = tail
        sequence.forEachLeft { event, isLast in
            let node = trees.make(
                thread: event.thread, choice: event.choice, footprint: event.footprint)
            if isLast, event.isVague { trees[node].isVague = true }
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
