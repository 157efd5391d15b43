// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What a scope has to release, and what comes next. Its owner's lock protects it; nothing here
/// calls what is not ours.
///
/// The entries are in the order in which they were added, so their numbers ascend. One that is
/// released stays as a gap until enough of them are.
struct ResourceList: Sendable {
    private var entries: [Entry] = []
    private var gaps = 0
    private var numbers = Numbers()
    /// Which resources go before which: the numbers of those that go first, by the other's.
    private var firsts: [UInt64: [UInt64]] = [:]
    /// Where a group is closed, by the number of its opening.
    private var closings: [UInt64: UInt64] = [:]
    /// The threads that are in a release action, each once for every action.
    private var releasers: [UInt32] = []
    /// How many resources there are, groups not counted.
    private(set) var count = 0
    /// How many groups there are.
    private(set) var groupCount = 0
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

    private struct Entry: Sendable {
        let number: UInt64
        let name: String
        /// Nothing once its release has begun.
        var content: Content
        /// The value that it is, if it is one.
        let value: ObjectIdentifier?
        var state: State
        let phase: Phase
        /// The thread that added it; once its release has begun, the one that runs the release, and
        /// 0 while a task waits for the users of its value.
        var thread: UInt32
    }

    private enum State: UInt8 {
        case pending, running, gone
    }

    /// How a resource is released.
    enum Content: Sendable {
        case action(@Sendable () throws -> Void)
        case value(any ScopedValue)
        /// Where a group begins, and ends.
        case opening, closing
        case none
    }

    /// A resource whose release the caller has to run.
    struct Begun: Sendable {
        let number: UInt64
        let name: String
        let content: Content
    }

    // MARK: Adding

    /// Adds a resource; nil where its phase is over.
    mutating func add(_ name: String, _ content: Content, _ phase: Phase, by thread: UInt32)
        -> UInt64?
    {
        guard phase >= self.phase else { return nil }
        count += 1
        return append(name, content, phase, thread)
    }

    private mutating func append(
        _ name: String, _ content: Content, _ phase: Phase, _ thread: UInt32
    ) -> UInt64 {
        let number = numbers.next()
        let value: ObjectIdentifier? =
            if case .value(let value) = content { ObjectIdentifier(value) } else { nil }
        entries.append(
            Entry(
                number: number, name: name, content: content, value: value, state: .pending,
                phase: phase, thread: thread))
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
        for entry in entries
        where entry.state == .running && (entry.thread != thread || thread == 0) {
            finish(entry.number)
        }
    }

    // MARK: Finding

    /// How many entries there are, gaps and all.
    var length: Int { entries.count }

    /// How many entries have smaller numbers.
    private func countBefore(_ number: UInt64) -> Int {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func place(of number: UInt64) -> Int? {
        // Mostly it is one of the last.
        if let last = entries.last, last.number == number { return entries.count - 1 }
        let place = countBefore(number)
        return place < entries.count && entries[place].number == number ? place : nil
    }

    private func state(of number: UInt64) -> State {
        place(of: number).map { entries[$0].state } ?? .gone
    }

    /// Whether a resource is here, and its release has not begun.
    func contains(_ number: UInt64) -> Bool { state(of: number) == .pending }

    /// Whether the release of a resource has begun and not ended.
    func isBeingReleased(_ number: UInt64) -> Bool { state(of: number) == .running }

    /// Whether `thread` is in a release action.
    func isReleaser(_ thread: UInt32) -> Bool { releasers.contains(thread) }

    func name(of number: UInt64) -> String {
        place(of: number).map { entries[$0].name } ?? "a resource that is gone"
    }

    /// The resource that was added last among those that are called `name`.
    func last(named name: String) -> UInt64? {
        entries.last { $0.state == .pending && $0.name == name && !$0.content.isMarker }?.number
    }

    /// The group that was opened last among those that are called `name`; with no name, among those
    /// that are open.
    func lastGroup(named name: String?) -> UInt64? {
        entries.last { entry in
            guard entry.state == .pending, case .opening = entry.content else { return false }
            return name.map { $0 == entry.name } ?? (closings[entry.number] == nil)
        }?.number
    }

    /// The resource that a value is, until its release is over.
    func number(of value: any ScopedValue) -> UInt64? {
        let value = ObjectIdentifier(value)
        return entries.last { $0.value == value && $0.state != .gone }?.number
    }

    /// The releases that run, for a report. They ran at `start`, or have begun since.
    func occupants(from start: WorldClock.Instant, to now: WorldClock.Instant) -> [Occupant] {
        entries.compactMap { entry in
            guard entry.state == .running else { return nil }
            return Occupant(
                "the release of \(entry.name)", since: start, isExact: false, at: now)
        }
    }

    // MARK: Order

    /// Declares that one resource is released before another. False where the other goes first
    /// already, by what was declared before.
    mutating func order(_ first: UInt64, before second: UInt64) -> Bool {
        guard state(of: first) != .gone, state(of: second) != .gone else { return true }
        var open = [first]
        var known: Set<UInt64> = []
        while let number = open.popLast() {
            if number == second { return false }
            if known.insert(number).inserted { open += firsts[number] ?? [] }
        }
        firsts[second, default: []].append(first)
        return true
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
    }

    /// What a walk has to do next.
    enum Step: Sendable {
        case run(Begun)
        /// Another thread runs this one's release, or a task waits for the users of its value.
        case wait(UInt64)
        /// The caller runs that one's release, and would wait for itself.
        case inside(String)
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

    mutating func next(_ walk: inout Walk, by thread: UInt32) -> Step {
        if walk.numbers != nil { return nextOfNumbers(&walk, by: thread) }
        while let phase = walk.phase.next, walk.phase < walk.lastPhase {
            if let number = lastPending(of: walk.phase, before: walk.end) {
                // Where several release, each goes on once what was added later is released.
                if let later = beingReleased(in: walk, after: number, besides: thread) {
                    return .wait(later)
                }
                walk.end = number + 1
                return step(towards: number, by: thread)
            }
            if let running = beingReleased(in: walk, after: 0, besides: thread) {
                return .wait(running)
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
        guard releasers.contains(where: { $0 != thread }) else { return nil }
        return entries.last {
            $0.number > number && $0.number < walk.limit && $0.phase == walk.phase
                && $0.thread != thread && isBeingReleased($0.number)
        }?.number
    }

    private func lastPending(of phase: Phase, before end: UInt64) -> UInt64? {
        let start = entries.last.map { $0.number < end } ?? true ? entries.count : countBefore(end)
        return entries[..<start].last {
            $0.state == .pending && $0.phase == phase && !$0.content.isMarker
        }?.number
    }

    private mutating func nextOfNumbers(_ walk: inout Walk, by thread: UInt32) -> Step {
        while let number = walk.numbers?.last {
            switch state(of: number) {
            case .pending: return step(towards: number, by: thread)
            case .gone: break
            case .running:
                guard let place = place(of: number) else { break }
                if entries[place].thread == thread { return .inside(entries[place].name) }
                // A release action never waits for another one: the two could wait for each other.
                if isBeingReleased(number), !isReleaser(thread) { return .wait(number) }
            }
            walk.numbers?.removeLast()
        }
        return .done
    }

    /// The release of a resource, or of what must go before it.
    private mutating func step(towards number: UInt64, by thread: UInt32) -> Step {
        var number = number
        if firsts.isEmpty { return .run(begin(number, by: thread)) }
        while true {
            var pending: UInt64?
            var running: UInt64?
            for first in firsts[number] ?? [] {
                switch state(of: first) {
                case .pending: pending = max(pending ?? 0, first)
                case .running where isBeingReleased(first): running = first
                case .running, .gone: break
                }
            }
            if let pending {
                number = pending
                continue
            }
            if let running, let place = place(of: running) {
                return entries[place].thread == thread
                    ? .inside(entries[place].name) : .wait(running)
            }
            return .run(begin(number, by: thread))
        }
    }

    private mutating func begin(_ number: UInt64, by thread: UInt32) -> Begun {
        guard let place = place(of: number) else {
            preconditionFailure("a resource that is pending is in the list")
        }
        let begun = Begun(
            number: number, name: entries[place].name, content: entries[place].content)
        entries[place].content = .none
        entries[place].state = .running
        entries[place].thread = thread
        releasers.append(thread)
        return begun
    }

    /// Says which thread runs a release that has begun; 0 while a task only waits.
    mutating func handOver(_ number: UInt64, to thread: UInt32) {
        guard let place = place(of: number) else { return }
        remove(releaser: entries[place].thread)
        entries[place].thread = thread
        releasers.append(thread)
    }

    private mutating func remove(releaser thread: UInt32) {
        if let place = releasers.lastIndex(of: thread) { releasers.remove(at: place) }
    }

    /// A release that has begun is over.
    mutating func finish(_ number: UInt64) {
        guard let place = place(of: number) else { return }
        remove(releaser: entries[place].thread)
        forget(at: place)
    }

    /// A release that has begun did not take place: the resource is here again.
    mutating func giveUp(_ begun: Begun) {
        guard let place = place(of: begun.number) else { return }
        remove(releaser: entries[place].thread)
        entries[place].content = begun.content
        entries[place].state = .pending
    }

    /// Takes a resource out, and returns what would have released it.
    mutating func remove(_ number: UInt64) -> Content? {
        guard let place = place(of: number), entries[place].state == .pending else { return nil }
        let content = entries[place].content
        entries[place].content = .none
        forget(at: place)
        return content
    }

    private mutating func forget(at place: Int) {
        count -= 1
        if !firsts.isEmpty { firsts[entries[place].number] = nil }
        leaveGap(at: place)
    }

    private mutating func leaveGap(at place: Int) {
        entries[place].state = .gone
        entries[place].content = .none
        gaps += 1
        while entries.last?.state == .gone {
            entries.removeLast()
            gaps -= 1
        }
        if gaps > 32, gaps > entries.count / 2 {
            entries.removeAll { $0.state == .gone }
            gaps = 0
        }
    }

    // MARK: Groups

    mutating func openGroup(_ name: String) -> UInt64 {
        groupCount += 1
        return append(name, .opening, .over, 0)
    }

    func isGroup(_ number: UInt64) -> Bool {
        guard let place = place(of: number), case .opening = entries[place].content else {
            return false
        }
        return true
    }

    /// Closes a group. False when it is closed, or not here.
    mutating func closeGroup(_ number: UInt64) -> Bool {
        guard isGroup(number), closings[number] == nil else { return false }
        closings[number] = append("", .closing, .over, 0)
        return true
    }

    /// Forgets a group; what is in it stays.
    mutating func removeGroup(_ number: UInt64) -> Bool {
        guard isGroup(number) else { return false }
        groupCount -= 1
        if let closing = closings.removeValue(forKey: number), let place = place(of: closing) {
            leaveGap(at: place)
        }
        if let place = place(of: number) { leaveGap(at: place) }
        return true
    }

    /// Forgets a group and the groups that lie in it whole, and returns what is in it: all to the
    /// end, where it is open.
    mutating func takeGroup(_ number: UInt64) -> [UInt64]? {
        guard isGroup(number), let start = place(of: number) else { return nil }
        let end = closings[number].flatMap { place(of: $0) } ?? entries.count - 1
        var found: [UInt64] = []
        var groups: [UInt64] = []
        for entry in entries[start...end] where entry.state != .gone {
            switch entry.content {
            case .opening:
                let isWhole = (closings[entry.number] ?? 0) <= entries[end].number
                if isWhole { groups.append(entry.number) }
            case .closing: break
            case .action, .value, .none: found.append(entry.number)
            }
        }
        for group in groups { _ = removeGroup(group) }
        return found
    }

    /// Forgets all groups.
    mutating func removeGroups() {
        for entry in entries where entry.state == .pending && entry.content.isOpening {
            _ = removeGroup(entry.number)
        }
    }

    /// A walk over what a thread added from `number` on, groups aside.
    func walk(overThoseSince number: UInt64, by thread: UInt32) -> Walk {
        Self.walk(
            over: entries.reversed().prefix { $0.number >= number }
                .filter { $0.state == .pending && $0.thread == thread && !$0.content.isMarker }
                .map(\.number).reversed())
    }

    /// The number after the last one that was given.
    var following: UInt64 { entries.last.map { $0.number + 1 } ?? 0 }
}

extension ResourceList.Content {
    fileprivate var isOpening: Bool { if case .opening = self { true } else { false } }

    fileprivate var isMarker: Bool {
        switch self {
        case .opening, .closing: true
        case .action, .value, .none: false
        }
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
