// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The sequence that reverses a race: *v* = *notdep(e, E)* · *e′*.
///
/// For a race of *e* with a later *e′* of an execution *E*, *notdep(e, E)* is what comes after *e*
/// in *E* and does not happen after it; *e′* follows, as it is there. More than *e* may have to be
/// left out.
final class ReversalSequence {
    private let history: History
    private let scheduler: Scheduler
    /// Where the sequence leads: the prefix that it continues, and its events.
    let place: Configuration
    /// Its events by position, and -1 for the last.
    private let events = Stack<Int32>(capacity: 256)
    private let nextOfThread = Stack<Int32>(capacity: 256)
    private let isRemoved = Stack<Bool>(capacity: 256)
    private let firstOfThread = Stack<Int32>(capacity: 64)
    private let lastOfThread = Stack<Int32>(capacity: 64)
    /// The step that is reversed, as it is at the end of the sequence.
    private var last = Event(thread: -1, kind: .touch)
    /// The objects that it touches, one bit each.
    private var filter: UInt64 = 0
    /// The events without which the reversed step could not be taken at all.
    private let anchors = Stack<Int32>(capacity: 4)
    /// Whether a footprint was met that is not known well enough to tell what conflicts with it.
    private(set) var isVague = false

    init(_ history: History, _ scheduler: Scheduler) {
        self.history = history
        self.scheduler = scheduler
        place = Configuration(history, scheduler)
    }

    // MARK: Making it

    func setAnchors(_ first: Int32, _ second: Int32, _ third: Int32) {
        anchors.removeAll()
        if first >= 0 { anchors.append(first) }
        if second >= 0 { anchors.append(second) }
        if third >= 0 { anchors.append(third) }
    }

    /// Whether the step that is reversed cannot be taken without `event`.
    @inline(__always)
    func isAnchor(_ event: Int) -> Bool {
        for index in 0..<anchors.count where history.happens(event, before: Int(anchors[index])) {
            return true
        }
        return false
    }

    /// An empty sequence after the first `prefix` events.
    func begin(after prefix: Int) {
        place.begin(prefix)
        events.removeAll()
        nextOfThread.removeAll()
        isRemoved.removeAll()
        let threads = Int(scheduler.threads.count)
        firstOfThread.refill(threads, with: -1)
        lastOfThread.refill(threads, with: -1)
    }

    @inline(__always)
    func append(_ event: Int) {
        let index = Int32(truncatingIfNeeded: events.count)
        events.append(Int32(truncatingIfNeeded: event))
        place.add(event)
        link(index, Int(history[event].thread))
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

    /// Nothing comes after `last`.
    func end(with last: Event) {
        self.last = last
        filter = last.footprint.filter
        for index in 0..<events.count {
            filter |= history[Int(events[index])].filter
        }
        let index = Int32(truncatingIfNeeded: events.count)
        events.append(-1)
        link(index, Int(last.thread))
    }

    // MARK: Its weak initials

    /// How a step relates to the sequence.
    enum Match: Equatable {
        /// It is no weak initial: it cannot come first in an equivalent of the sequence.
        case no
        /// It is none of the sequence's, and conflicts with nothing in it.
        case independent
        /// It is this element, and nothing in the sequence has to come before it.
        case initial(Int32)
    }

    /// How the step of `thread` relates to the sequence. (It is a *weak initial* of it unless the
    /// answer is no.)
    func match(_ thread: Int32, _ choice: Int32, _ touched: KnownFootprint) -> Match {
        let lastIndex = events.count - 1
        let index = Int(thread) < firstOfThread.count ? firstOfThread[Int(thread)] : -1
        if index >= 0 {
            let isLast = Int(index) == lastIndex
            let itsChoice = isLast ? last.choice : history.choice(Int(events[Int(index)]))
            guard itsChoice == choice else { return .no }
            return isFirst(Int(index), isLast) ? .initial(index) : .no
        }
        if touched.isAnything || !isRemoved[lastIndex] && last.traits.contains(.vague) {
            return .no
        }
        if touched.unknownBeyond < 0, touched.footprint.filter & filter == 0 { return .independent }
        for index in 0..<lastIndex where !isRemoved[index] {
            if conflicts(touched, history.footprint(Int(events[index]))) { return .no }
        }
        return !isRemoved[lastIndex] && conflicts(touched, last.footprint) ? .no : .independent
    }

    private func conflicts(_ touched: KnownFootprint, _ footprint: Footprint) -> Bool {
        if touched.footprint.conflicts(with: footprint) { return true }
        guard touched.unknownBeyond >= 0,
            !scheduler.areStable(footprint, among: touched.unknownBeyond)
        else {
            return false
        }
        isVague = true
        return true
    }

    /// Whether nothing in the sequence comes before its element `index`.
    private func isFirst(_ index: Int, _ isLast: Bool) -> Bool {
        for thread in 0..<min(firstOfThread.count, history.width) {
            let first = firstOfThread[thread]
            guard first >= 0, Int(first) != index, Int(first) < events.count - 1 else { continue }
            let other = Int(events[Int(first)])
            if isLast ? isAnchor(other) : history.happens(other, before: Int(events[index])) {
                return false
            }
        }
        guard isLast else { return true }
        if last.traits.contains(.vague) {
            return !(0..<events.count - 1).contains { !isRemoved[$0] }
        }
        for other in 0..<events.count - 1 where !isRemoved[other] {
            if last.footprint.conflicts(with: history.footprint(Int(events[other]))) {
                return false
            }
        }
        return true
    }

    /// Takes the element `index`, the first of `thread`, out.
    func remove(_ index: Int32, of thread: Int32) {
        isRemoved[Int(index)] = true
        firstOfThread[Int(thread)] = nextOfThread[Int(index)]
    }

    /// Calls `body` with the thread, the choice and the footprint of what is left, in order, and
    /// whether what it touches elsewhere is known.
    @inline(__always)
    func forEachLeft(_ body: (Int32, Int32, Footprint, _ isVague: Bool) -> Void) {
        for index in 0..<events.count - 1 where !isRemoved[index] {
            let event = Int(events[index])
            body(history[event].thread, history.choice(event), history.footprint(event), false)
        }
        if !isRemoved[events.count - 1] {
            body(last.thread, last.choice, last.footprint, last.traits.contains(.vague))
        }
    }
}

/// What a step touches, as far as that is known.
struct KnownFootprint {
    var footprint: Footprint
    /// Whether it may be anything.
    var isAnything = false
    /// It also touches an object that is none of the first so many; -1 where it does not.
    var unknownBeyond: Int32 = -1
}
