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
    struct Frame: BitwiseCopyable {
        /// The branches still to be explored from here; the one being explored is not among them.
        var tree: Int32
        /// This prefix's sleep set: a range of `sleepers`.
        var sleepBase: Int32
        var sleepCount: Int32
        /// How many objects there are at its end.
        var objectCount: Int32
    }

    let history: History
    let frames = Stack<Frame>(capacity: 256)
    let sleepers = Stack<Sleeper>(capacity: 1024)
    let trees = WakeupTrees()
    /// The steps with which the first execution of a resumed search begins.
    var guide: [ReductionState.Step] = []

    /// Where this execution left the last one.
    var branch = 0
    /// What the wake-up tree wants to happen after the step being taken.
    private var pendingTree: Int32 = -1
    /// Whether a step was met that touches other things at other places than can be told.
    var isVague = false

    let sequence: ReversalSequence
    private var races: RaceReversal!
    /// The threads of the nodes that an insertion has passed; inverted for one that has no step in
    /// the sequence.
    private let path = Stack<Int32>(capacity: 64)

    override init(_ scheduler: Scheduler) {
        history = scheduler.history
        sequence = ReversalSequence(history, scheduler)
        super.init(scheduler)
        races = RaceReversal(history, scheduler, sequence, for: self)
    }

    // MARK: Running

    override var keepsHistory: Bool { true }

    /// How many events of this execution have happened.
    private var position: Int { scheduler.steps }

    override func repeatLast() {
        scheduler.replayedSteps = history.count
    }

    override func choose() -> Decision {
        let position = position
        if position < scheduler.replayedSteps {
            return Decision(thread: history[position].thread, choice: history.choice(position))
        }
        if frames.count == position { enterFrame(at: position) }
        // What a wake-up tree wants comes first.
        if frames[position].tree >= 0 { return wanted(at: position) }
        pendingTree = -1
        let current = scheduler.current
        if current >= 0, frames[position].sleepCount == 0, scheduler.isEnabled(current),
            scheduler.choices(of: current) == 0
        {
            return Decision(thread: current)
        }
        return arbitrary(at: position)
    }

    private func wanted(at position: Int) -> Decision {
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

    private func isPossible(_ choice: Int32, of thread: Int32) -> Bool {
        let waiters = scheduler.choices(of: thread)
        return waiters == 0 ? choice < 0 : choice >= 0 && waiters & (1 << UInt64(choice)) != 0
    }

    private func arbitrary(at position: Int) -> Decision {
        let current = scheduler.current
        if current >= 0, let decision = awake(current, position) { return decision }
        var someoneSleeps = current >= 0 && scheduler.isEnabled(current)
        for thread in 0..<scheduler.threads.count where thread != current {
            guard scheduler.isEnabled(thread) else { continue }
            if let decision = awake(thread, position) { return decision }
            someoneSleeps = true
        }
        return someoneSleeps ? .allAsleep : .nobody
    }

    /// A step of `thread` that can happen and does not sleep.
    @inline(__always)
    private func awake(_ thread: Int32, _ position: Int) -> Decision? {
        guard scheduler.isEnabled(thread) else { return nil }
        var waiters = scheduler.choices(of: thread)
        if waiters == 0 { return isAsleep(thread, -1, position) ? nil : Decision(thread: thread) }
        while waiters != 0 {
            let choice = Int32(waiters.trailingZeroBitCount)
            if !isAsleep(thread, choice, position) {
                return Decision(thread: thread, choice: choice)
            }
            waiters &= waiters - 1
        }
        return nil
    }

    @inline(__always)
    private func isAsleep(_ thread: Int32, _ choice: Int32, _ position: Int) -> Bool {
        let first = Int(frames[position].sleepBase)
        for index in first..<first &+ Int(frames[position].sleepCount)
        where sleepers[index].thread == thread && sleepers[index].choice == choice { return true }
        return false
    }

    /// Begins the prefix that ends with the last event: the threads that slept before it and do not
    /// conflict with it sleep on.
    @inline(__always)
    private func enterFrame(at position: Int) {
        let base = sleepers.count
        if position > 0, frames[position - 1].sleepCount > 0 { keepSleepers(of: position - 1) }
        frames.append(
            Frame(
                tree: pendingTree, sleepBase: Int32(truncatingIfNeeded: base),
                sleepCount: Int32(truncatingIfNeeded: sleepers.count &- base),
                objectCount: scheduler.objects.count))
        pendingTree = -1
    }

    /// What slept at the prefix `before` and does not conflict with the event after it sleeps on.
    private func keepSleepers(of before: Int) {
        let (thread, footprint) = (history[before].thread, history.footprint(before))
        let (filter, frame) = (history[before].filter, frames[before])
        let findsMore = !scheduler.areStable(footprint, among: frame.objectCount)
        for index in Int(frame.sleepBase)..<Int(frame.sleepBase + frame.sleepCount) {
            if sleepers[index].thread == thread { continue }
            if sleepers[index].footprint.filter & filter != 0,
                sleepers[index].footprint.conflicts(with: footprint)
            {
                continue
            }
            let sleeper = sleepers[index]
            // What both found in the midst of their steps may be the same.
            if findsMore, !scheduler.areStable(sleeper.footprint, among: frame.objectCount) {
                isVague = true
                continue
            }
            sleepers.append(sleeper)
        }
    }

    override func committed(_ event: Event, at position: Int) -> Divergence? {
        if position < scheduler.replayedSteps {
            let expected = history[position]
            let filter =
                expected.traits.contains(.amended)
                ? expected.filter & event.footprint.filter : expected.filter
            if expected.thread != event.thread || expected.kind != event.kind
                || filter != event.footprint.filter
            {
                return Divergence(
                    step: position + 1, expected: scheduler.describe(history.event(position)),
                    found: scheduler.describe(event))
            }
            return nil
        }
        // Nobody was asked to pick the passing of time.
        if event.kind == .tick, frames.count == position { enterFrame(at: position) }
        history.append(event)
        for index in 0..<scheduler.changes.count {
            history.versions.add(scheduler.changes[index], by: position)
        }
        if event.traits.contains(.vague) || event.kind == .release { isVague = true }
        if event.choice >= 0, position >= guide.count { races.insertOtherChoices(of: position) }
        return nil
    }

    override func amended(_ event: Event) {
        // Of a repeated step it is known already.
        if position > scheduler.replayedSteps { history.amendLast(event) }
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
            let races: RaceReversal = races
            // Those before the branch were reversed after an earlier execution; but what has
            // happened since may conflict with a step that touches more where it comes earlier.
            for event in 0..<branch where history[event].traits.contains(.mayGrow) {
                races.reverseRaces(of: event)
            }
            for event in branch..<history.count where history[event].traits.contains(.races) {
                races.reverseRaces(of: event)
            }
            if outcome != .cut {
                // A thread that is blocked at the end has not taken its step: had it come earlier,
                // it might have.
                for index in 0..<scheduler.blockedSteps.count {
                    races.reverseRaces(ofBlocked: scheduler.blockedSteps[index])
                }
            }
            for index in 0..<scheduler.clock.stopped.count {
                let stop = scheduler.clock.stopped[index]
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

    /// Goes back to the longest prefix from which something is left to explore. What was explored
    /// from there sleeps from now on.
    private func backtrack() -> Bool {
        var last = frames.count - 1
        while last >= 0, frames[last].tree < 0 { last -= 1 }
        frames.truncate(to: last + 1)
        guard last >= 0 else {
            history.removeAll()
            return false
        }
        sleepers.truncate(to: Int(frames[last].sleepBase + frames[last].sleepCount))
        sleepers.append(
            Sleeper(
                thread: history[last].thread, choice: history.choice(last),
                footprint: history.footprint(last)))
        frames[last].sleepCount += 1
        history.truncate(to: last)
        branch = last
        scheduler.replayedSteps = last
        return true
    }

    // MARK: Inserting a sequence

    /// Inserts the sequence into the wake-up tree of the prefix of length `position`.
    func insertSequence(at position: Int) {
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
    /// Within the prefix, and for all threads that stand there before their next step, that is the
    /// same in every execution. One that is found later has the number that it has here if its
    /// thread did the same here; else it is unknown, but none of those that are found within the
    /// prefix.
    private func touched(by node: WakeupTrees.Node, _ later: Int?, at position: Int)
        -> KnownFootprint
    {
        if node.isVague { return KnownFootprint(footprint: node.footprint, isAnything: true) }
        let limit = frames[position].objectCount
        if scheduler.areStable(node.footprint, among: limit) {
            return KnownFootprint(footprint: node.footprint)
        }
        if var left = later {
            for event in position..<history.count where history[event].thread == node.thread {
                if left > 0 {
                    left -= 1
                    continue
                }
                let found = history.footprint(event)
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
    /// Each step before this one in the prefix has found its object; what a step finds
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
        sequence.forEachLeft { thread, choice, footprint, isVague in
            let node = trees.make(thread: thread, choice: choice, footprint: footprint)
            if isVague { trees[node].isVague = true }
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
