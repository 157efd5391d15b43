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
    private let accesses = AccessHistory()
    /// The states of the objects after the events.
    let versions = ObjectVersions()

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
        /// The filter of its footprint.
        var filter: UInt64
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
        // Any release might have been the last elsewhere; here two that were not come in either
        // order.
        let isShared = event.kind == .release && event.traits.contains(.silent)
        for index in 0..<Int(event.footprint.count) {
            _ = addAccess(
                event.footprint.object(index),
                writes: event.footprint.writes(index) && !isShared, position)
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
        let access = accesses.next(object, writes: writes, by: position)
        var races = false
        accesses.forEachConflict(of: access) { if join(position, $0) { races = true } }
        accesses.append(access)
        return races
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

    /// Makes room for one more event, and for `thread` in every clock.
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

    // MARK: Cutting off

    func truncate(to newCount: Int) {
        guard newCount < count else { return }
        versions.truncate(to: newCount)
        truncateRows(to: newCount)
    }

    private func truncateRows(to newCount: Int) {
        accesses.truncate(to: Int(self[newCount].accesses))
        for position in newCount..<count where self[position].detail >= 0 {
            details.truncate(to: Int(self[position].detail))
            break
        }
        count = newCount
    }

    func removeAll() { truncate(to: 0) }

    /// Replaces the last event by what has become of it.
    func amendLast(_ event: Event) {
        // It has changed the same objects.
        truncateRows(to: count - 1)
        append(event)
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
            accesses.forEachConflict(of: accesses[index], body)
            index &+= 1
        }
    }

    /// The same of a step that was not taken and would come last.
    func forEachConflict(of footprint: Footprint, _ body: (Int) -> Void) {
        for index in 0..<Int(footprint.count) {
            accesses.forEachConflict(
                of: accesses.next(
                    footprint.object(index), writes: footprint.writes(index), by: count), body)
        }
    }
}
