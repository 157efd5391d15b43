// SPDX-License-Identifier: Apache-2.0

/// Where an optimal reduction is in its search: for each prefix of the current schedule, what was
/// explored from there and what is left.
struct ReductionState: Codable {
    /// A step as sleep sets and wake-up trees have it.
    struct Step: Codable {
        var thread: Int32
        var choice: Int32
        var footprint: Footprint
        /// In a wake-up tree: how many nodes are above this one, and whether the step may touch
        /// something else.
        var depth = 0
        var isVague = false
        /// On the path: what happened, and the filter of what it touched; 0 where that was added
        /// later, so that the two runs may differ in it.
        var kind: UInt8 = 0
        var filter: UInt64 = 0
    }

    struct Prefix: Codable {
        /// The step that the current schedule takes from here; nil for the last prefix, from which
        /// a new one is explored.
        var taken: Step?
        var sleepers: [Step] = []
        /// The nodes of the wake-up tree, each before those below it.
        var tree: [Step] = []
        var objectCount: Int32 = 0
    }

    var prefixes: [Prefix] = []
    var isVague = false
    var sequenceIsVague = false
}

extension OptimalReduction: Resumable {
    var state: SearchState {
        var state = ReductionState(isVague: isVague, sequenceIsVague: sequence.isVague)
        for position in 0..<frames.count {
            let frame = frames[position]
            var prefix = ReductionState.Prefix(objectCount: frame.objectCount)
            if position < history.count { prefix.taken = step(at: position) }
            prefix.sleepers = sleepers(at: position).map {
                ReductionState.Step(
                    thread: sleepers[$0].thread, choice: sleepers[$0].choice,
                    footprint: sleepers[$0].footprint)
            }
            collect(frame.tree, depth: 0, into: &prefix.tree)
            state.prefixes.append(prefix)
        }
        return .optimal(state)
    }

    private func step(at position: Int) -> ReductionState.Step {
        let isAmended = history[position].traits.contains(.amended)
        return ReductionState.Step(
            thread: history[position].thread, choice: history.choice(position),
            footprint: history.footprint(position), kind: history[position].kind.rawValue,
            filter: isAmended ? 0 : history[position].filter)
    }

    private func collect(_ first: Int32, depth: Int, into steps: inout [ReductionState.Step]) {
        var index = first
        while index >= 0 {
            let node = trees[index]
            steps.append(
                ReductionState.Step(
                    thread: node.thread, choice: node.choice, footprint: node.footprint,
                    depth: depth, isVague: node.isVague))
            collect(node.firstChild, depth: depth + 1, into: &steps)
            index = node.next
        }
    }

    /// Goes on from `state`. In each prefix the wake-up tree wants the step of the schedule first,
    /// so that the next execution follows it and builds the history anew.
    func resume(from state: SearchState) -> Bool {
        guard case .optimal(let state) = state, frames.isEmpty else { return false }
        (isVague, sequence.isVague) = (state.isVague, state.sequenceIsVague)
        for prefix in state.prefixes {
            let base = sleepers.count
            for step in prefix.sleepers {
                sleepers.append(
                    Sleeper(thread: step.thread, choice: step.choice, footprint: step.footprint))
            }
            frames.append(
                Frame(
                    tree: plant((prefix.taken.map { [$0] } ?? []) + prefix.tree),
                    sleepBase: Int32(base), sleepCount: Int32(prefix.sleepers.count),
                    objectCount: prefix.objectCount))
        }
        guide = state.prefixes.compactMap(\.taken)
        branch = guide.count
        return true
    }

    /// Makes the nodes of a tree, and returns the first.
    private func plant(_ steps: [ReductionState.Step]) -> Int32 {
        var first: Int32 = -1
        // By depth: the last node made there, below the current one of the depth before.
        var last: [Int32] = []
        for step in steps {
            let node = trees.make(
                thread: step.thread, choice: step.choice, footprint: step.footprint)
            trees[node].isVague = step.isVague
            if step.depth < last.count {
                trees[last[step.depth]].next = node
            } else if let parent = last.last {
                trees[parent].firstChild = node
            } else {
                first = node
            }
            last.removeLast(max(0, last.count - step.depth))
            last.append(node)
        }
        return first
    }

    func misfit() -> Divergence? {
        // From the second execution on, what lies before a branch is as this process saw it.
        defer { guide = [] }
        for (position, expected) in guide.enumerated() {
            let isThere = position < history.count
            if isThere, history[position].thread == expected.thread,
                history[position].kind.rawValue == expected.kind,
                history[position].traits.contains(.amended) || expected.filter == 0
                    || history[position].filter == expected.filter
            {
                continue
            }
            let kind = StepKind(rawValue: expected.kind).map { "\($0)" } ?? "another step"
            return Divergence(
                step: position + 1, expected: "\(kind) of thread \(expected.thread)",
                found: isThere ? scheduler.describe(history.event(position)) : "has ended")
        }
        // What was left to explore cannot be.
        if let defect = scheduler.defect {
            return Divergence(
                step: history.count + 1, expected: "what is left to explore", found: defect)
        }
        return nil
    }

    /// A guess: each branch of a prefix that is known counts as much as the others. As branches are
    /// found late, and most of them near the root, it is too large at first.
    var explored: Double {
        var part = 0.0
        for position in (0..<frames.count).reversed() {
            let left = branchCount(of: frames[position].tree)
            let done = exploredCount(at: position)
            // Below the last one nothing is going on.
            let isUnderWay = position < frames.count - 1
            let all = done + left + (isUnderWay ? 1 : 0)
            if all > 0 { part = (Double(done) + part) / Double(all) }
        }
        return part
    }

    private func branchCount(of tree: Int32) -> Int {
        var (count, index) = (0, tree)
        while index >= 0 { (count, index) = (count + 1, trees[index].next) }
        return count
    }

    /// How many branches of a prefix were explored: their steps are asleep there, and not before.
    private func exploredCount(at position: Int) -> Int {
        sleepers(at: position).count { step in
            position == 0
                || !sleepers(at: position - 1).contains {
                    sleepers[$0].thread == sleepers[step].thread
                        && sleepers[$0].choice == sleepers[step].choice
                }
        }
    }

    private func sleepers(at position: Int) -> Range<Int> {
        let first = Int(frames[position].sleepBase)
        return first..<first + Int(frames[position].sleepCount)
    }
}
