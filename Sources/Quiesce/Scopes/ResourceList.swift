// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What a scope has to release, and what comes next. Its owner's lock protects it; nothing here
/// calls what is not ours.
struct ResourceList: Sendable {
    /// What is here, in the order in which it was added, so that the numbers ascend. What is taken
    /// out of the middle leaves a gap until there are enough of them.
    private var entries: [Resource] = []
    private var gaps = 0
    /// How many are pending, by phase.
    private var pendingCounts = InlineArray<3, Int>(repeating: 0)
    private var running = RunningReleases()
    /// In the order in which they were opened.
    private var groups: [Group] = []
    private var numbers = Numbers()
    /// The number after the last one that was given.
    private(set) var following: UInt64 = 0
    /// Which resources go before which: the numbers of those that go first, by the other's.
    private var firsts: [UInt64: [UInt64]] = [:]
    /// Which phases take nothing any more: all that come before this one.
    private(set) var phase = Phase.registrations
    var associations: [ObjectIdentifier: any Sendable] = [:]
    private var generation = World.generation

    /// The end of a scope has three parts.
    enum Phase: UInt8, Sendable, Comparable {
        case registrations, resources, associations, over

        static func < (one: Phase, other: Phase) -> Bool { one.rawValue < other.rawValue }

        /// The one after it.
        var next: Phase? { Phase(rawValue: rawValue + 1) }
    }

    /// A stretch of the list, by the numbers between which it lies.
    private struct Group: Sendable {
        let number: UInt64
        let name: String
        /// Nil while it is open.
        var end: UInt64?
    }

    /// How many resources there are, groups not counted.
    var count: Int { entries.count - gaps }

    /// How many entries there are, gaps and all.
    var length: Int { entries.count }

    /// How many groups there are.
    var groupCount: Int { groups.count }

    // MARK: Adding

    /// Takes a resource; nil where its phase is over, and then it is left where it is.
    @inline(__always)
    mutating func add(_ resource: inout Resource?) -> UInt64? {
        // It is moved: a copy would cost as much as all the rest.
        guard let phase = resource?.phase, phase >= self.phase, var added = resource.take() else {
            return nil
        }
        let number = nextNumber()
        added.number = number
        pendingCounts[Int(phase.rawValue)] += 1
        entries.append(consume added)
        return number
    }

    private mutating func nextNumber() -> UInt64 {
        let number = numbers.next()
        following = number + 1
        return number
    }

    /// Takes no more of the phases before this one.
    mutating func refuse(before phase: Phase) { self.phase = max(self.phase, phase) }

    /// Takes the releases for over that other threads of the process ran that this one was forked
    /// from, and those whose tasks waited.
    mutating func checkFork() {
        guard generation != World.generation else { return }
        generation = World.generation
        forgetReleases(besides: World.survivor.thread)
    }

    /// Takes the releases for over that run, but for those of a thread: 0 for no exception.
    mutating func forgetReleases(besides thread: UInt32) {
        for release in running.all where release.thread != thread || thread == 0 {
            finish(release.number)
        }
    }

    // MARK: Finding

    /// How many entries have smaller numbers.
    @inline(__always)
    private func countBefore(_ number: UInt64) -> Int {
        // Mostly it is behind the last of them, or it is that one.
        guard let last = entries.last, last.number >= number else { return entries.count }
        return last.number == number ? entries.count - 1 : Self.count(in: entries, before: number)
    }

    private static func count(in entries: [Resource], before number: UInt64) -> Int {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Where a resource is, or the gap that it has left.
    @inline(__always)
    private func place(of number: UInt64) -> Int? {
        let place = countBefore(number)
        return place < entries.count && entries[place].number == number ? place : nil
    }

    /// Where a resource is that is pending.
    private func placePending(_ number: UInt64) -> Int? {
        place(of: number).flatMap { entries[$0].isPending ? $0 : nil }
    }

    /// Whether a resource is here, and its release has not begun.
    func contains(_ number: UInt64) -> Bool { placePending(number) != nil }

    /// Whether the release of a resource has begun and not ended.
    func isBeingReleased(_ number: UInt64) -> Bool { running[number] != nil }

    /// Whether `thread` is in a release action.
    func isReleaser(_ thread: UInt32) -> Bool { running.first { $0.thread == thread } != nil }

    func name(of number: UInt64) -> String {
        guard isHere(number), let place = place(of: number) else {
            return "a resource that is gone"
        }
        return entries[place].name
    }

    /// The resource that was added last among those that are called `name`.
    func last(named name: String) -> UInt64? {
        entries.last { $0.isPending && $0.name == name }?.number
    }

    /// The group that was opened last among those that are called `name`; with no name, among those
    /// that are open.
    func lastGroup(named name: String?) -> UInt64? {
        groups.last { group in name.map { $0 == group.name } ?? (group.end == nil) }?.number
    }

    /// The resource that a value is, until its release is over.
    func number(of value: any ScopedValue) -> UInt64? {
        entries.last { $0.content?.value === value }?.number
            ?? running.first { $0.value == ObjectIdentifier(value) }?.number
    }

    /// The releases that run, for a report. They ran at `start`, or have begun since.
    func occupants(from start: WorldClock.Instant, to now: WorldClock.Instant) -> [Occupant] {
        running.all.map {
            Occupant("the release of \(name(of: $0.number))", since: start, isExact: false, at: now)
        }
    }

    // MARK: Order

    /// Declares that one resource is released before another. False where the other goes first
    /// already, by what was declared before.
    mutating func order(_ first: UInt64, before second: UInt64) -> Bool {
        guard isHere(first), isHere(second) else { return true }
        var open = [first]
        var known: Set<UInt64> = []
        while let number = open.popLast() {
            if number == second { return false }
            if known.insert(number).inserted { open += firsts[number] ?? [] }
        }
        firsts[second, default: []].append(first)
        return true
    }

    private func isHere(_ number: UInt64) -> Bool {
        contains(number) || isBeingReleased(number)
    }

    // MARK: Releasing

    /// What a walk has to do next.
    enum Step: Sendable {
        case run
        /// Another thread runs this one's release, or a task waits for the users of its value.
        case wait(UInt64)
        /// The caller runs that one's release, and would wait for itself.
        case inside(UInt64)
        case done
    }

    /// A walk over all resources of the phases before `end`.
    func walk(upTo end: Phase) -> ReleaseWalk { ReleaseWalk(upTo: end, limit: following) }

    @inline(__always)
    mutating func next(_ walk: inout ReleaseWalk, by thread: UInt32) -> Step {
        if walk.numbers != nil { return nextOfNumbers(&walk, by: thread) }
        while let phase = walk.phase.next, walk.phase < walk.endPhase {
            if let place = lastPending(of: walk.phase, before: walk.end) {
                let number = entries[place].number
                // Where several release, each goes on once what was added later is released.
                if let later = running.last(
                    of: walk.phase, after: number, before: walk.limit, besides: thread)
                {
                    return .wait(later)
                }
                walk.end = number + 1
                return step(&walk, towards: place, by: thread)
            }
            if let release = running.last(
                of: walk.phase, after: 0, before: walk.limit, besides: thread)
            {
                return .wait(release)
            }
            // One whose release gave up came back behind the walk. Nothing else can, once the phase
            // takes nothing more.
            if self.phase > walk.phase, lastPending(of: walk.phase, before: walk.limit) != nil {
                walk.end = walk.limit
                continue
            }
            walk.phase = phase
            walk.end = walk.limit
        }
        return .done
    }

    /// Where the last one of a phase is that is pending.
    @inline(__always)
    private func lastPending(of phase: Phase, before end: UInt64) -> Int? {
        guard pendingCounts[Int(phase.rawValue)] > 0 else { return nil }
        var place = countBefore(end)
        while place > 0 {
            place -= 1
            if entries[place].phase == phase, entries[place].isPending { return place }
        }
        return nil
    }

    private mutating func nextOfNumbers(_ walk: inout ReleaseWalk, by thread: UInt32) -> Step {
        while let number = walk.numbers?.last {
            if let place = placePending(number) {
                return step(&walk, towards: place, by: thread)
            }
            if let release = running[number] {
                if release.thread == thread { return .inside(number) }
                // A release action never waits for another one: the two could wait for each other.
                if !isReleaser(thread) { return .wait(number) }
            }
            walk.numbers?.removeLast()
        }
        return .done
    }

    /// The release of a resource, or of what must go before it.
    @inline(__always)
    private mutating func step(_ walk: inout ReleaseWalk, towards place: Int, by thread: UInt32)
        -> Step
    {
        var place = place
        while !firsts.isEmpty {
            let firsts = firsts[entries[place].number] ?? []
            if let pending = firsts.filter({ contains($0) }).max() {
                place = countBefore(pending)
                continue
            }
            if let release = running.first(where: { firsts.contains($0.number) }) {
                // Nor does a release action wait for one that goes first.
                return isReleaser(thread) ? .inside(release.number) : .wait(release.number)
            }
            break
        }
        begin(&walk, at: place, by: thread)
        return .run
    }

    @inline(__always)
    private mutating func begin(_ walk: inout ReleaseWalk, at place: Int, by thread: UInt32) {
        let phase = entries[place].phase
        pendingCounts[Int(phase.rawValue)] -= 1
        walk.begun = entries[place].number
        walk.content = entries[place].content.take()
        running.begin(
            RunningReleases.Release(
                number: walk.begun, phase: phase,
                value: walk.content?.value.map(ObjectIdentifier.init), thread: thread))
    }

    /// Says which thread runs a release that has begun; 0 while a task only waits.
    mutating func handOver(_ number: UInt64, to thread: UInt32) {
        running.handOver(number, to: thread)
    }

    /// A release that has begun is over.
    @inline(__always)
    mutating func finish(_ number: UInt64) {
        guard running.end(number), let place = place(of: number) else { return }
        forget(place)
    }

    /// The release that a walk has begun did not take place: the resource is pending again.
    mutating func giveUp(_ walk: inout ReleaseWalk) {
        guard running.end(walk.begun), let place = place(of: walk.begun) else { return }
        entries[place].content = walk.content.take()
        pendingCounts[Int(entries[place].phase.rawValue)] += 1
    }

    /// Takes a resource out, and returns what would have released it.
    mutating func remove(_ number: UInt64) -> Content? {
        guard let place = placePending(number) else { return nil }
        pendingCounts[Int(entries[place].phase.rawValue)] -= 1
        let content = entries[place].content.take()
        forget(place)
        return content
    }

    /// Takes an entry out whose content is out already.
    @inline(__always)
    private mutating func forget(_ place: Int) {
        if !firsts.isEmpty { firsts[entries[place].number] = nil }
        guard place == entries.count - 1 else { return leaveGap() }
        entries.removeLast()
        while gaps > 0, let last = entries.last, running.isGap(last) {
            entries.removeLast()
            gaps -= 1
        }
    }

    private mutating func leaveGap() {
        gaps += 1
        if gaps > 32, gaps > entries.count / 2 {
            entries.removeAll(where: running.isGap)
            gaps = 0
        }
    }

    // MARK: Groups

    mutating func openGroup(_ name: String) -> UInt64 {
        groups.append(Group(number: nextNumber(), name: name))
        return following - 1
    }

    private func place(ofGroup number: UInt64) -> Int? {
        groups.lastIndex { $0.number == number }
    }

    /// Closes a group. False when it is closed, or not here.
    mutating func closeGroup(_ number: UInt64) -> Bool {
        guard let place = place(ofGroup: number), groups[place].end == nil else { return false }
        groups[place].end = nextNumber()
        return true
    }

    /// Forgets a group; what is in it stays.
    mutating func removeGroup(_ number: UInt64) -> Bool {
        guard let place = place(ofGroup: number) else { return false }
        groups.remove(at: place)
        return true
    }

    /// Forgets a group and the groups that lie in it whole, and returns what is in it: all to the
    /// end, where it is open.
    mutating func takeGroup(_ number: UInt64) -> [UInt64]? {
        guard let place = place(ofGroup: number) else { return nil }
        let end = groups[place].end ?? .max
        groups.removeAll { $0.number >= number && ($0.end ?? $0.number) <= end }
        let pending = entries[countBefore(number)..<countBefore(end)]
            .lazy.filter(\.isPending).map(\.number)
        let released = running.all.map(\.number).filter { (number...end).contains($0) }
        return (Array(pending) + released).sorted()
    }

    /// Forgets all groups.
    mutating func removeGroups() { groups.removeAll() }

    /// A walk over what a thread added from `number` on, groups aside.
    func walk(overThoseSince number: UInt64, by thread: UInt32) -> ReleaseWalk {
        ReleaseWalk(
            over: entries[countBefore(number)...]
                .filter { $0.isPending && $0.adder == thread }.map(\.number))
    }
}
