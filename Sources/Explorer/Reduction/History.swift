// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The events of one execution with the happens-before order of their conflicts, as vector clocks.
///
/// Events are appended and cut off at the end only. An execution that shares a prefix with the one
/// before keeps the clocks of it.
final class History {
    let events = Stack<Event>(capacity: 256)
    private let accesses = Stack<Access>(capacity: 512)
    /// By object: its last access, -1 for none.
    private let heads = Stack<Int32>(capacity: 128)
    private let clocks = Stack<UInt32>(capacity: 4096)
    private let versions = Stack<Version>(capacity: 512)
    /// By object: its last version, -1 for none.
    private let lastVersions = Stack<Int32>(capacity: 128)
    private let kept = Stack<Version>(capacity: 16)
    /// How many threads a clock has room for.
    private(set) var width = 8

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

    @inline(__always)
    var count: Int { events.count }

    /// Whether the event is a step of this thread and kind on this object.
    @inline(__always)
    func isStep(_ position: Int, of thread: Int32, _ kind: StepKind, _ object: Int32) -> Bool {
        events[position].thread == thread && events[position].kind == kind
            && events[position].footprint.object(0) == object
    }

    /// Whether `earlier` happens before `later` or is it.
    @inline(__always)
    func happens(_ earlier: Int, before later: Int) -> Bool {
        clocks[later * width + Int(events[earlier].thread)]
            >= UInt32(truncatingIfNeeded: earlier + 1)
    }

    /// The component of `event`'s clock for `thread`: one more than the position of that thread's
    /// last event before it.
    @inline(__always)
    func clock(_ event: Int, _ thread: Int) -> UInt32 { clocks[event * width + thread] }

    /// Appends `event`, computing its clock. `event.previous` and `enabler` must be set.
    func append(_ event: Event) {
        if Int(event.thread) >= width { widen(to: Int(event.thread) + 1) }
        let position = events.count
        let row = position * width
        if event.previous >= 0 {
            clocks.duplicate(from: Int(event.previous) * width, length: width)
        } else {
            clocks.extend(to: row + width, with: 0)
        }
        if event.enabler >= 0 {
            clocks.joinRow(at: row, with: Int(event.enabler) * width, length: width)
        }
        if event.cause >= 0 {
            clocks.joinRow(at: row, with: Int(event.cause) * width, length: width)
        }
        if event.kind == .tick { joinAll(row, before: position) }
        let firstAccess = Int32(truncatingIfNeeded: accesses.count)
        for index in 0..<Int(event.footprint.count) {
            let object = event.footprint.object(index)
            let writes = event.footprint.writes(index)
            heads.extend(to: Int(object) + 1, with: -1)
            let head = heads[Int(object)]
            let lastWrite =
                head < 0 ? -1 : accesses[Int(head)].writes ? head : accesses[Int(head)].lastWrite
            if Footprint.isOfSorts(object) {
                var record = head
                while record >= 0 {
                    if accesses[Int(record)].writes != writes {
                        join(row, Int(accesses[Int(record)].event))
                    }
                    record = accesses[Int(record)].previous
                }
            } else if writes {
                var record = head
                while record >= 0 {
                    join(row, Int(accesses[Int(record)].event))
                    if accesses[Int(record)].writes { break }
                    record = accesses[Int(record)].previous
                }
            } else if lastWrite >= 0 {
                join(row, Int(accesses[Int(lastWrite)].event))
            }
            heads[Int(object)] = Int32(truncatingIfNeeded: accesses.count)
            accesses.append(
                Access(
                    event: Int32(truncatingIfNeeded: position), object: object, writes: writes,
                    previous: head,
                    lastWrite: lastWrite))
        }
        clocks[row + Int(event.thread)] = UInt32(truncatingIfNeeded: position + 1)
        events.append(event)
        events[position].accesses = firstAccess
        events[position].versions = Int32(truncatingIfNeeded: versions.count)
        if event.previous >= 0, events[Int(event.previous)].thread == event.thread {
            events[Int(event.previous)].next = Int32(truncatingIfNeeded: position)
        }
        if event.opener >= 0 {
            events[Int(event.opener)].closer = Int32(truncatingIfNeeded: position)
        }
    }

    @inline(__always)
    private func join(_ row: Int, _ event: Int) {
        guard clocks[row + Int(events[event].thread)] < UInt32(truncatingIfNeeded: event + 1) else {
            return
        }
        clocks.joinRow(at: row, with: event * width, length: width)
    }

    /// Time passes when all that can happen has happened.
    private func joinAll(_ row: Int, before position: Int) {
        var earlier = position
        while earlier > 0 {
            earlier -= 1
            join(row, earlier)
            if events[earlier].kind == .tick { return }
        }
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
                event: Int32(truncatingIfNeeded: events.count - 1), object: change.object,
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

    private func truncateVersions(to first: Int) {
        while versions.count > first {
            let version = versions[versions.count - 1]
            lastVersions[Int(version.object)] = version.previous
            versions.truncate(to: versions.count - 1)
        }
    }

    func truncate(to count: Int) {
        guard count < events.count else { return }
        let first = Int(events[count].accesses)
        while accesses.count > first {
            let record = accesses[accesses.count - 1]
            heads[Int(record.object)] = record.previous
            accesses.truncate(to: accesses.count - 1)
        }
        truncateVersions(to: Int(events[count].versions))
        clocks.truncate(to: count * width)
        events.truncate(to: count)
    }

    func removeAll() { truncate(to: 0) }

    /// Replaces the last event by what has become of it.
    func amendLast(_ event: Event) {
        kept.removeAll()
        for index in Int(events[events.count - 1].versions)..<versions.count {
            kept.append(versions[index])
        }
        truncate(to: events.count - 1)
        append(event)
        for index in 0..<kept.count { addVersion(kept[index]) }
    }

    /// The event of its thread that follows `event`, or nil.
    func next(after event: Int) -> Int? {
        let next = Int(events[event].next)
        guard next > event, next < events.count, Int(events[next].previous) == event,
            events[next].thread == events[event].thread
        else { return nil }
        return next
    }

    /// The event that closed the window opened by `opener`, or nil while it is open.
    func closer(of opener: Int) -> Int? {
        let closer = Int(events[opener].closer)
        guard closer > opener, closer < events.count, events[closer].opener == opener else {
            return nil
        }
        return closer
    }

    /// Calls `body` with each earlier event that conflicts with `footprint` directly and might be
    /// adjacent, latest first for each object. With `before`, only events before that position
    /// count.
    @inline(__always)
    func forEachConflict(of footprint: Footprint, before limit: Int, _ body: (Int) -> Void) {
        for index in 0..<Int(footprint.count) {
            let object = Int(footprint.object(index))
            guard object < heads.count else { continue }
            var record = heads[object]
            while record >= 0, Int(accesses[Int(record)].event) >= limit {
                record = accesses[Int(record)].previous
            }
            if Footprint.isOfSorts(footprint.object(index)) {
                while record >= 0 {
                    if accesses[Int(record)].writes != footprint.writes(index) {
                        body(Int(accesses[Int(record)].event))
                    }
                    record = accesses[Int(record)].previous
                }
            } else if footprint.writes(index) {
                while record >= 0 {
                    body(Int(accesses[Int(record)].event))
                    if accesses[Int(record)].writes { break }
                    record = accesses[Int(record)].previous
                }
            } else if record >= 0 {
                let write = accesses[Int(record)].writes ? record : accesses[Int(record)].lastWrite
                if write >= 0 { body(Int(accesses[Int(write)].event)) }
            }
        }
    }

    private func widen(to needed: Int) {
        let wider = max(width * 2, needed)
        let moved = Stack<UInt32>(capacity: max(4096, events.count * wider * 2))
        for event in 0..<events.count {
            for thread in 0..<width { moved.append(clocks[event * width + thread]) }
            moved.extend(to: (event + 1) * wider, with: 0)
        }
        clocks.replace(with: moved)
        width = wider
    }
}
