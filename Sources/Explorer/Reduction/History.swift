// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The events of one execution with the happens-before order of their conflicts, as vector clocks.
///
/// Events are appended and cut off at the end only. An execution that shares a prefix with the one
/// before keeps the clocks of it.
@safe
final class History {
    /// A row for each event: its entry, then its clock. With eight threads that is a line of the
    /// cache.
    private var rows: UnsafeMutableRawPointer
    private var capacity = 256
    private(set) var count = 0
    /// How many threads a clock has room for: a multiple of `lanes`.
    private(set) var width = History.lanes
    private var stride = History.entrySize + History.lanes * 4

    /// The events that have more to them than their entries say.
    private let details = Stack<Event>(capacity: 64)
    private let accesses = Stack<Access>(capacity: 512)
    /// By object: its last access, -1 for none.
    private let heads = Stack<Int32>(capacity: 128)
    private let versions = Stack<Version>(capacity: 512)
    /// By object: its last version, -1 for none.
    private let lastVersions = Stack<Int32>(capacity: 128)
    private let kept = Stack<Version>(capacity: 16)

    private static let lanes = SIMD8<UInt32>.scalarCount
    private static let entrySize = 32

    init() {
        unsafe rows = .allocate(byteCount: capacity * stride, alignment: 64)
        precondition(MemoryLayout<Entry>.size == History.entrySize)
    }

    deinit { unsafe rows.deallocate() }

    /// What every event has, in 32 bytes: most steps are an access of one object, and then this is
    /// all.
    struct Entry: BitwiseCopyable {
        var thread: Int32
        var kind: StepKind
        var traits: Event.Traits
        /// The thread's last event before, or for its first, what its starter did last.
        var previous: Int32
        /// The thread's next event.
        var next: Int32 = -1
        /// Where its accesses begin; they end where those of the next event begin.
        var accesses: Int32
        /// Where the whole event is; -1 where the entry and its access are all.
        var detail: Int32 = -1
        /// That of its footprint.
        var filter: UInt64
    }

    /// One access of one object by one event.
    struct Access: BitwiseCopyable {
        var event: Int32
        var object: Int32
        var writes: Bool
        /// The object's access before, and its last write before.
        var previous: Int32
        var lastWrite: Int32
    }

    /// The state of an object after an event.
    struct Version: BitwiseCopyable {
        /// -1 where the state is that before all events.
        var event: Int32
        var object: Int32
        /// The object's version before.
        var previous: Int32
        /// How many readers of a lock more there are: such changes commute. 0 for all others.
        var readers: Int32
        var state: Bits
    }

    // MARK: Rows

    @inline(__always)
    private func row(_ position: Int) -> UnsafeMutableRawPointer {
        // One comparison: a negative position is a large one.
        precondition(UInt(bitPattern: position) < UInt(bitPattern: count))
        return unsafe rows + position &* stride
    }

    @inline(__always)
    private func entry(_ position: Int) -> UnsafeMutablePointer<Entry> {
        unsafe row(position).assumingMemoryBound(to: Entry.self)
    }

    @inline(__always)
    private func clock(_ position: Int) -> UnsafeMutablePointer<UInt32> {
        unsafe (row(position) + History.entrySize).assumingMemoryBound(to: UInt32.self)
    }

    /// What every event has of the one at `position`.
    subscript(position: Int) -> Entry {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(entry(position)) }
    }

    /// The whole event at `position`.
    func event(_ position: Int) -> Event {
        let entry = self[position]
        if entry.detail >= 0 { return details[Int(entry.detail)] }
        let access = accesses[Int(entry.accesses)]
        var event = Event(Step(thread: entry.thread, kind: entry.kind, object: access.object))
        event.traits = entry.traits
        event.previous = entry.previous
        event.footprint.add(access.object, writes: access.writes)
        return event
    }

    /// The waiter that the event at `position` chose to wake, -1 where it had no choice.
    @inline(__always)
    func choice(_ position: Int) -> Int32 {
        let detail = self[position].detail
        return detail < 0 ? -1 : details[Int(detail)].choice
    }

    @inline(__always)
    func footprint(_ position: Int) -> Footprint {
        let (detail, first) = (self[position].detail, self[position].accesses)
        if detail >= 0 { return details[Int(detail)].footprint }
        return Footprint(accesses[Int(first)].object, writes: accesses[Int(first)].writes)
    }

    /// Whether the event is a step of this thread and kind on this object.
    @inline(__always)
    func isStep(_ position: Int, of thread: Int32, _ kind: StepKind, _ object: Int32) -> Bool {
        guard self[position].thread == thread, self[position].kind == kind else { return false }
        let first = Int(self[position].accesses)
        return first < accesses.count && accesses[first].object == object
            && Int(accesses[first].event) == position
    }

    /// Whether the event, which has no details, is this access.
    @inline(__always)
    func isAccess(_ position: Int, by thread: Int32, _ kind: StepKind, of object: Int32) -> Bool {
        self[position].thread == thread && self[position].kind == kind
            && accesses[Int(self[position].accesses)].object == object
    }

    /// Whether `earlier` happens before `later` or is it.
    @inline(__always)
    func happens(_ earlier: Int, before later: Int) -> Bool {
        unsafe clock(later)[Int(self[earlier].thread)] >= UInt32(truncatingIfNeeded: earlier &+ 1)
    }

    /// The component of `event`'s clock for `thread`: one more than the position of that thread's
    /// last event before it.
    @inline(__always)
    func clock(_ event: Int, _ thread: Int) -> UInt32 {
        precondition(UInt(bitPattern: thread) < UInt(bitPattern: width))
        return unsafe clock(event)[thread]
    }

    /// Whether the clock of `event` reaches no more than one of `stamps`, which are as many as a
    /// clock is wide.
    @inline(__always)
    func follows(_ event: Int, onlyOneOf stamps: borrowing Stack<UInt32>) -> Bool {
        let clock = unsafe clock(event)
        precondition(stamps.count == width)
        let limits = unsafe stamps.address(of: 0)
        var reached = SIMD8<UInt32>(repeating: 0)
        var lane = 0
        repeat {
            let reaches = unsafe History.load(clock + lane) .>= History.load(limits + lane)
            reached &-= SIMD8(
                truncatingIfNeeded: unsafe unsafeBitCast(
                    reaches, to: SIMD8<Int32>.self))
            lane &+= History.lanes
        } while lane < width
        return reached.wrappedSum() <= 1
    }

    // MARK: Appending

    /// Appends `event`, computing its clock. `event.previous` and `enabler` must be set.
    func append(_ event: Event) {
        let position = beginRow(event.thread, event.previous)
        if event.enabler >= 0 { joinClock(position, Int(event.enabler)) }
        if event.cause >= 0 { joinClock(position, Int(event.cause)) }
        if event.kind == .tick { joinAll(before: position) }
        let first = Int32(truncatingIfNeeded: accesses.count)
        for index in 0..<Int(event.footprint.count) {
            _ = addAccess(
                event.footprint.object(index), writes: event.footprint.writes(index), position)
        }
        finishRow(
            position,
            Entry(
                thread: event.thread, kind: event.kind, traits: event.traits.union(.races),
                previous: event.previous, accesses: first,
                detail: Int32(truncatingIfNeeded: details.count), filter: event.footprint.filter))
        details.append(event)
        if event.opener >= 0 {
            let opener = Int(self[Int(event.opener)].detail)
            if opener >= 0 { details[opener].closer = Int32(truncatingIfNeeded: position) }
        }
    }

    /// Appends a step that accesses one object and of which nothing else is to be told.
    @inline(__always)
    func append(
        _ kind: StepKind, by thread: Int32, of object: Int32, writes: Bool,
        _ traits: Event.Traits, after previous: Int32
    ) {
        let position = beginRow(thread, previous)
        let first = Int32(truncatingIfNeeded: accesses.count)
        var traits = traits
        if addAccess(object, writes: writes, position) { traits.insert(.races) }
        finishRow(
            position,
            Entry(
                thread: thread, kind: kind, traits: traits, previous: previous, accesses: first,
                filter: Footprint.filter(of: object)))
    }

    /// Makes a row, with the clock of the event before it on its thread.
    @inline(__always)
    private func beginRow(_ thread: Int32, _ previous: Int32) -> Int {
        if Int(thread) >= width || count == capacity { makeRoom(for: Int(thread)) }
        let position = count
        count = position &+ 1
        let target = unsafe clock(position)
        var lane = 0
        if previous >= 0 {
            let source = unsafe clock(Int(previous))
            repeat {
                unsafe History.store(History.load(source + lane), to: target + lane)
                lane &+= History.lanes
            } while lane < width
        } else {
            repeat {
                unsafe History.store(SIMD8(repeating: 0), to: target + lane)
                lane &+= History.lanes
            } while lane < width
        }
        return position
    }

    /// Adds an access of the event at `position`. Whether it conflicts with an event that nothing
    /// known so far orders before it.
    @inline(__always)
    private func addAccess(_ object: Int32, writes: Bool, _ position: Int) -> Bool {
        if Int(object) >= heads.count { heads.extend(to: Int(object) &+ 1, with: -1) }
        let head = heads[Int(object)]
        var lastWrite: Int32 = -1
        var races = false
        if head >= 0 {
            lastWrite = accesses[Int(head)].writes ? head : accesses[Int(head)].lastWrite
            if Footprint.isOfSorts(object) {
                joinOtherSort(position, writes: writes, head)
                races = true
            } else if writes {
                var record = head
                repeat {
                    if join(position, Int(accesses[Int(record)].event)) { races = true }
                    if accesses[Int(record)].writes { break }
                    record = accesses[Int(record)].previous
                } while record >= 0
            } else if lastWrite >= 0 {
                races = join(position, Int(accesses[Int(lastWrite)].event))
            }
        }
        heads[Int(object)] = Int32(truncatingIfNeeded: accesses.count)
        accesses.append(
            Access(
                event: Int32(truncatingIfNeeded: position), object: object, writes: writes,
                previous: head, lastWrite: lastWrite))
        return races
    }

    private func joinOtherSort(_ position: Int, writes: Bool, _ head: Int32) {
        var record = head
        while record >= 0 {
            if accesses[Int(record)].writes != writes {
                join(position, Int(accesses[Int(record)].event))
            }
            record = accesses[Int(record)].previous
        }
    }

    @inline(__always)
    private func finishRow(_ position: Int, _ entry: Entry) {
        unsafe clock(position)[Int(entry.thread)] = UInt32(truncatingIfNeeded: position &+ 1)
        unsafe self.entry(position).initialize(to: entry)
        if entry.previous >= 0, self[Int(entry.previous)].thread == entry.thread {
            unsafe self.entry(Int(entry.previous)).pointee.next =
                Int32(truncatingIfNeeded: position)
        }
    }

    /// `event` happens before the one at `position`. Whether that was not known.
    @inline(__always)
    @discardableResult
    private func join(_ position: Int, _ event: Int) -> Bool {
        guard
            unsafe clock(position)[Int(self[event].thread)]
                < UInt32(truncatingIfNeeded: event &+ 1)
        else { return false }
        joinClock(position, event)
        return true
    }

    @inline(__always)
    private func joinClock(_ position: Int, _ event: Int) {
        let (target, source) = unsafe (clock(position), clock(event))
        var lane = 0
        repeat {
            unsafe History.store(
                pointwiseMax(History.load(target + lane), History.load(source + lane)),
                to: target + lane)
            lane &+= History.lanes
        } while lane < width
    }

    @inline(__always)
    private static func load(_ pointer: UnsafeMutablePointer<UInt32>) -> SIMD8<UInt32> {
        unsafe UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<UInt32>.self)
    }

    @inline(__always)
    private static func store(_ lanes: SIMD8<UInt32>, to pointer: UnsafeMutablePointer<UInt32>) {
        unsafe UnsafeMutableRawPointer(pointer).storeBytes(of: lanes, as: SIMD8<UInt32>.self)
    }

    /// Time passes when all that can happen has happened.
    private func joinAll(before position: Int) {
        var earlier = position
        while earlier > 0 {
            earlier -= 1
            join(position, earlier)
            if self[earlier].kind == .tick { return }
        }
    }

    /// Has room for one more event, and for `thread` in every clock.
    @inline(never)
    private func makeRoom(for thread: Int) {
        let (oldWidth, oldStride) = (width, stride)
        if thread >= width {
            width = (max(width * 2, thread + 1) + History.lanes - 1) / History.lanes * History.lanes
            stride = History.entrySize + width * 4
        }
        if count == capacity { capacity *= 2 }
        let moved = UnsafeMutableRawPointer.allocate(byteCount: capacity * stride, alignment: 64)
        for position in 0..<count {
            let target = unsafe moved + position * stride
            unsafe target.copyMemory(from: rows + position * oldStride, byteCount: oldStride)
            unsafe (target + oldStride).initializeMemory(
                as: UInt32.self, repeating: 0, count: width - oldWidth)
        }
        unsafe rows.deallocate()
        unsafe rows = moved
    }

    // MARK: Versions

    /// The last event has changed an object.
    @inline(__always)
    func addVersion(_ change: StateChange) {
        if let before = change.before, lastVersion(of: change.object) < 0 {
            addVersion(
                Version(event: -1, object: change.object, previous: -1, readers: 0, state: before))
        }
        addVersion(
            Version(
                event: Int32(truncatingIfNeeded: count - 1), object: change.object,
                previous: -1,
                readers: change.readers, state: change.state))
    }

    @inline(__always)
    private func addVersion(_ version: Version) {
        lastVersions.extend(to: Int(version.object) + 1, with: -1)
        versions.append(version)
        versions[versions.count - 1].previous = lastVersions[Int(version.object)]
        lastVersions[Int(version.object)] = Int32(truncatingIfNeeded: versions.count - 1)
    }

    /// The last version of `object`, -1 for none.
    @inline(__always)
    func lastVersion(of object: Int32) -> Int32 {
        Int(object) < lastVersions.count ? lastVersions[Int(object)] : -1
    }

    @inline(__always)
    func version(_ index: Int32) -> Version { versions[Int(index)] }

    /// Forgets what the events from `count` on have left.
    private func truncateVersions(to count: Int) {
        while versions.count > 0, Int(versions[versions.count - 1].event) >= count {
            dropVersion()
            // The state before all events was remembered for the version after it.
            if versions.count > 0, versions[versions.count - 1].event < 0 { dropVersion() }
        }
    }

    private func dropVersion() {
        let version = versions[versions.count - 1]
        lastVersions[Int(version.object)] = version.previous
        versions.truncate(to: versions.count - 1)
    }

    func truncate(to newCount: Int) {
        guard newCount < count else { return }
        let first = Int(self[newCount].accesses)
        while accesses.count > first {
            let record = accesses[accesses.count - 1]
            heads[Int(record.object)] = record.previous
            accesses.truncate(to: accesses.count - 1)
        }
        truncateVersions(to: newCount)
        for position in newCount..<count where self[position].detail >= 0 {
            details.truncate(to: Int(self[position].detail))
            break
        }
        count = newCount
    }

    func removeAll() { truncate(to: 0) }

    /// Replaces the last event by what has become of it.
    func amendLast(_ event: Event) {
        kept.removeAll()
        let position = count - 1
        var first = versions.count
        while first > 0, versions[first - 1].event < 0 || Int(versions[first - 1].event) == position
        {
            first -= 1
        }
        for index in first..<versions.count { kept.append(versions[index]) }
        while versions.count > first { dropVersion() }
        truncate(to: position)
        append(event)
        for index in 0..<kept.count { addVersion(kept[index]) }
    }

    /// The event of its thread that follows `event`, or nil.
    func next(after event: Int) -> Int? {
        let next = Int(self[event].next)
        guard next > event, next < count, Int(self[next].previous) == event,
            self[next].thread == self[event].thread
        else { return nil }
        return next
    }

    /// The event that closed the window opened by `opener`, or nil while it is open.
    func closer(of opener: Int) -> Int? {
        let detail = Int(self[opener].detail)
        guard detail >= 0 else { return nil }
        let closer = Int(details[detail].closer)
        guard closer > opener, closer < count, self[closer].detail >= 0,
            Int(details[Int(self[closer].detail)].opener) == opener
        else { return nil }
        return closer
    }

    // MARK: Conflicts

    /// Calls `body` with each earlier event that conflicts with the one at `position` directly and
    /// might be adjacent, latest first for each object.
    @inline(__always)
    func forEachConflict(of position: Int, _ body: (Int) -> Void) {
        var index = Int(self[position].accesses)
        while index < accesses.count, Int(accesses[index].event) == position {
            let access = accesses[index]
            forEachConflict(
                of: access.object, writes: access.writes, access.previous, access.lastWrite, body)
            index += 1
        }
    }

    /// The same of a step that was not taken and would come last.
    func forEachConflict(of footprint: Footprint, _ body: (Int) -> Void) {
        for index in 0..<Int(footprint.count) {
            let object = footprint.object(index)
            guard Int(object) < heads.count else { continue }
            let head = heads[Int(object)]
            let lastWrite =
                head < 0 ? -1 : accesses[Int(head)].writes ? head : accesses[Int(head)].lastWrite
            forEachConflict(of: object, writes: footprint.writes(index), head, lastWrite, body)
        }
    }

    @inline(__always)
    private func forEachConflict(
        of object: Int32, writes: Bool, _ previous: Int32, _ lastWrite: Int32, _ body: (Int) -> Void
    ) {
        var record = previous
        if Footprint.isOfSorts(object) {
            while record >= 0 {
                if accesses[Int(record)].writes != writes {
                    body(Int(accesses[Int(record)].event))
                }
                record = accesses[Int(record)].previous
            }
        } else if writes {
            while record >= 0 {
                body(Int(accesses[Int(record)].event))
                if accesses[Int(record)].writes { break }
                record = accesses[Int(record)].previous
            }
        } else if lastWrite >= 0 {
            body(Int(accesses[Int(lastWrite)].event))
        }
    }
}
