// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What a scope has to release, and what comes next. Its owner's lock protects it; nothing here
/// calls what is not ours.
struct ResourceList: Sendable {
    /// What is pending, in the order in which it was added, so that the numbers ascend. What is
    /// taken out of the middle leaves a gap until there are enough of them.
    private var entries: [Resource] = []
    private var gaps = 0
    /// How many are pending, by phase.
    private var pendingCounts = InlineArray<3, Int>(repeating: 0)
    /// The releases that run.
    private var running: [Running] = []
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

    struct Resource: Sendable {
        fileprivate var number: UInt64 = 0
        let name: String
        /// Nothing where this is a gap, or its release has begun.
        fileprivate(set) var content: Content?
        let phase: Phase
        /// The thread that added it.
        fileprivate let adder: UInt32

        init(_ name: String, _ content: consuming Content, _ phase: Phase, by adder: UInt32) {
            self.name = name
            self.content = consume content
            self.phase = phase
            self.adder = adder
        }

        fileprivate var isPending: Bool { content != nil }
    }

    /// How a resource is released.
    enum Content: Sendable {
        case action(@Sendable () throws -> Void)
        case value(any ScopedValue)

        /// The value that it is, if it is one.
        var value: ObjectIdentifier? {
            if case .value(let value) = self { ObjectIdentifier(value) } else { nil }
        }
    }

    /// A release that has begun and not ended.
    private struct Running: Sendable {
        var resource: Resource
        let value: ObjectIdentifier?
        /// The thread that runs it; 0 while a task waits for the users of its value.
        var thread: UInt32

        var number: UInt64 { resource.number }
    }

    /// A stretch of the list, by the numbers between which it lies.
    private struct Group: Sendable {
        let number: UInt64
        let name: String
        /// Nil while it is open.
        var end: UInt64?
    }

    /// How many resources there are, groups not counted.
    var count: Int { entries.count - gaps + running.count }

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
        for release in running where release.thread != thread || thread == 0 {
            finish(release.number)
        }
    }

    // MARK: Finding

    /// How many entries have smaller numbers.
    private func countBefore(_ number: UInt64) -> Int {
        // Mostly it is behind the last of them, or it is that one.
        guard let last = entries.last, last.number >= number else { return entries.count }
        if last.number == number { return entries.count - 1 }
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Where a resource is that is pending.
    private func place(of number: UInt64) -> Int? {
        let place = countBefore(number)
        guard place < entries.count, entries[place].number == number,
            entries[place].isPending
        else { return nil }
        return place
    }

    private func placeOfRelease(of number: UInt64) -> Int? {
        running.lastIndex { $0.number == number }
    }

    /// Whether a resource is here, and its release has not begun.
    func contains(_ number: UInt64) -> Bool { place(of: number) != nil }

    /// Whether the release of a resource has begun and not ended.
    func isBeingReleased(_ number: UInt64) -> Bool { placeOfRelease(of: number) != nil }

    /// Whether `thread` is in a release action.
    func isReleaser(_ thread: UInt32) -> Bool { running.contains { $0.thread == thread } }

    func name(of number: UInt64) -> String {
        if let place = place(of: number) { return entries[place].name }
        return placeOfRelease(of: number).map { running[$0].resource.name }
            ?? "a resource that is gone"
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
        let value = ObjectIdentifier(value)
        return entries.last { $0.content?.value == value }?.number
            ?? running.last { $0.value == value }?.number
    }

    /// The releases that run, for a report. They ran at `start`, or have begun since.
    func occupants(from start: WorldClock.Instant, to now: WorldClock.Instant) -> [Occupant] {
        running.map {
            Occupant("the release of \($0.resource.name)", since: start, isExact: false, at: now)
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

    /// One walk over resources that are to be released, last in, first out.
    struct Walk: Sendable {
        /// The resources, the first to go at the end; nil for all of the phases.
        fileprivate var numbers: [UInt64]?
        fileprivate var phase = Phase.over
        fileprivate var lastPhase = Phase.over
        /// All of the phase that is left lies before this number.
        fileprivate var end: UInt64 = 0
        /// What was added later is none of its business.
        fileprivate var limit: UInt64 = 0
        /// After `.run`, the resource whose release the caller has to run, and what it has to run.
        fileprivate(set) var begun: UInt64 = 0
        var content: Content?

        /// The value that it is, if it is one.
        var value: (any ScopedValue)? {
            if case .value(let value) = content { value } else { nil }
        }
    }

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
    func walk(upTo end: Phase) -> Walk {
        var walk = Walk()
        walk.phase = .registrations
        walk.lastPhase = end
        walk.limit = following
        walk.end = walk.limit
        return walk
    }

    static func walk(over numbers: [UInt64]) -> Walk { Walk(numbers: numbers) }

    @inline(__always)
    mutating func next(_ walk: inout Walk, by thread: UInt32) -> Step {
        if walk.numbers != nil { return nextOfNumbers(&walk, by: thread) }
        while let phase = walk.phase.next, walk.phase < walk.lastPhase {
            if let place = lastPending(of: walk.phase, before: walk.end) {
                let number = entries[place].number
                // Where several release, each goes on once what was added later is released.
                if let later = beingReleased(in: walk, after: number, besides: thread) {
                    return .wait(later)
                }
                walk.end = number + 1
                return step(&walk, towards: place, by: thread)
            }
            if let release = beingReleased(in: walk, after: 0, besides: thread) {
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

    /// The last resource of a walk's phase, behind `number`, that another thread releases.
    private func beingReleased(in walk: Walk, after number: UInt64, besides thread: UInt32)
        -> UInt64?
    {
        if running.isEmpty { return nil }
        return running.lazy.filter {
            $0.number > number && $0.number < walk.limit && $0.resource.phase == walk.phase
                && $0.thread != thread
        }.map(\.number).max()
    }

    /// Where the last one of a phase is that is pending.
    private func lastPending(of phase: Phase, before end: UInt64) -> Int? {
        guard pendingCounts[Int(phase.rawValue)] > 0 else { return nil }
        var place = countBefore(end)
        while place > 0 {
            place -= 1
            if entries[place].phase == phase, entries[place].isPending { return place }
        }
        return nil
    }

    private mutating func nextOfNumbers(_ walk: inout Walk, by thread: UInt32) -> Step {
        while let number = walk.numbers?.last {
            if let place = place(of: number) {
                return step(&walk, towards: place, by: thread)
            }
            if let release = running.last(where: { $0.number == number }) {
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
    private mutating func step(_ walk: inout Walk, towards place: Int, by thread: UInt32) -> Step {
        var place = place
        while !firsts.isEmpty {
            let firsts = firsts[entries[place].number] ?? []
            if let pending = firsts.filter({ contains($0) }).max() {
                place = countBefore(pending)
                continue
            }
            if let release = running.last(where: { firsts.contains($0.number) }) {
                return release.thread == thread ? .inside(release.number) : .wait(release.number)
            }
            break
        }
        begin(&walk, at: place, by: thread)
        return .run
    }

    @inline(__always)
    private mutating func begin(_ walk: inout Walk, at place: Int, by thread: UInt32) {
        var resource = take(at: place)
        walk.begun = resource.number
        walk.content = resource.content.take()
        let value = walk.content?.value
        running.append(Running(resource: consume resource, value: value, thread: thread))
    }

    /// Takes an entry out that is pending.
    @inline(__always)
    private mutating func take(at place: Int) -> Resource {
        pendingCounts[Int(entries[place].phase.rawValue)] -= 1
        guard place == entries.count - 1 else { return takeFromMiddle(place) }
        let last = entries.removeLast()
        while gaps > 0, entries.last?.isPending == false {
            entries.removeLast()
            gaps -= 1
        }
        return last
    }

    private mutating func takeFromMiddle(_ place: Int) -> Resource {
        let resource = entries[place]
        entries[place].content = nil
        gaps += 1
        if gaps > 32, gaps > entries.count / 2 {
            entries.removeAll { !$0.isPending }
            gaps = 0
        }
        return resource
    }

    /// Says which thread runs a release that has begun; 0 while a task only waits.
    mutating func handOver(_ number: UInt64, to thread: UInt32) {
        if let place = placeOfRelease(of: number) { running[place].thread = thread }
    }

    /// A release that has begun is over.
    @inline(__always)
    mutating func finish(_ number: UInt64) {
        guard let place = placeOfRelease(of: number) else { return }
        if !firsts.isEmpty { firsts[number] = nil }
        running.remove(at: place)
    }

    /// The release that a walk has begun did not take place: the resource is here again.
    mutating func giveUp(_ walk: inout Walk) {
        guard let release = placeOfRelease(of: walk.begun) else { return }
        var resource = running.remove(at: release).resource
        resource.content = walk.content.take()
        pendingCounts[Int(resource.phase.rawValue)] += 1
        let place = countBefore(resource.number)
        if place < entries.count, entries[place].number == resource.number {
            entries[place] = resource
            gaps -= 1
        } else {
            entries.insert(resource, at: place)
        }
    }

    /// Takes a resource out, and returns what would have released it.
    mutating func remove(_ number: UInt64) -> Content? {
        guard let place = place(of: number) else { return nil }
        if !firsts.isEmpty { firsts[number] = nil }
        return take(at: place).content
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
        let released = running.lazy.map(\.number).filter { (number...end).contains($0) }
        return (Array(pending) + released).sorted()
    }

    /// Forgets all groups.
    mutating func removeGroups() { groups.removeAll() }

    /// A walk over what a thread added from `number` on, groups aside.
    func walk(overThoseSince number: UInt64, by thread: UInt32) -> Walk {
        Self.walk(
            over: entries[countBefore(number)...]
                .filter { $0.isPending && $0.adder == thread }.map(\.number))
    }
}

/// A value that users may have to leave before it is released.
protocol ScopedValue: AnyObject, Sendable {
    /// Refuses new users, and waits for those there are.
    func drain(until deadline: WorldClock.Instant?) throws(QuiesceError)
    func drain(until deadline: WorldClock.Instant?) async throws

    /// Releases the value, which has no users any more.
    func finish() throws
}
