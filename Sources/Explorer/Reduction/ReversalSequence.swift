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
    private let elements = Stack<Element>(capacity: 256)
    private let firstOfThread = Stack<Int32>(capacity: 64)
    private let lastOfThread = Stack<Int32>(capacity: 64)
    /// By thread, what the clock of an event shows that comes after the thread's first element.
    private let stamps = Stack<UInt32>(capacity: 64)

    private struct Element: BitwiseCopyable {
        /// The position of its event, -1 for the last.
        var event: Int32
        /// The next element of its thread.
        var next: Int32 = -1
        var isRemoved = false
    }

    /// The step that is reversed, as it is at the end of the sequence.
    private var last = Event(thread: -1, kind: .touch)
    /// The objects that it touches, one bit each.
    private var filter: UInt64 = 0
    /// The events without which the reversed step could not be taken at all.
    private let anchors = Stack<Int32>(capacity: 4)
    /// Whether a footprint was met that is not known well enough to tell what conflicts with it.
    var isVague = false

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
        elements.removeAll()
        let threads = Int(scheduler.threads.count)
        firstOfThread.refill(threads, with: -1)
        lastOfThread.refill(threads, with: -1)
        stamps.refill(history.width, with: .max)
        filter = 0
    }

    @inline(__always)
    func append(_ event: Int) {
        place.add(event)
        filter |= history[event].filter
        link(Int32(truncatingIfNeeded: event), history[event].thread)
    }

    @inline(__always)
    private func link(_ event: Int32, _ thread: Int32) {
        let index = Int32(truncatingIfNeeded: elements.count)
        elements.append(Element(event: event))
        let last = lastOfThread[Int(thread)]
        if last < 0 {
            setFirst(index, of: Int(thread))
        } else {
            elements[Int(last)].next = index
        }
        lastOfThread[Int(thread)] = index
    }

    @inline(__always)
    private func setFirst(_ index: Int32, of thread: Int) {
        firstOfThread[thread] = index
        guard thread < stamps.count else { return }
        let event = index < 0 ? -1 : elements[Int(index)].event
        stamps[thread] = event < 0 ? .max : UInt32(truncatingIfNeeded: event &+ 1)
    }

    /// Nothing comes after `last`.
    func end(with last: Event) {
        self.last = last
        filter |= last.footprint.filter
        link(-1, last.thread)
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
        let lastIndex = elements.count - 1
        let index = Int(thread) < firstOfThread.count ? firstOfThread[Int(thread)] : -1
        if index >= 0 {
            let isLast = Int(index) == lastIndex
            let itsChoice = isLast ? last.choice : history.choice(Int(elements[Int(index)].event))
            guard itsChoice == choice else { return .no }
            return isFirst(Int(index), isLast) ? .initial(index) : .no
        }
        if touched.isAnything || !elements[lastIndex].isRemoved && last.traits.contains(.vague) {
            return .no
        }
        if touched.unknownBeyond < 0, touched.footprint.filter & filter == 0 { return .independent }
        for index in 0..<lastIndex where !elements[index].isRemoved {
            let event = Int(elements[index].event)
            if touched.unknownBeyond < 0, touched.footprint.filter & history[event].filter == 0 {
                continue
            }
            if conflicts(touched, history.footprint(event)) { return .no }
        }
        return !elements[lastIndex].isRemoved && conflicts(touched, last.footprint)
            ? .no : .independent
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

    /// Whether nothing in the sequence comes before its element `index`, the first of its thread.
    private func isFirst(_ index: Int, _ isLast: Bool) -> Bool {
        guard isLast else {
            return history.follows(Int(elements[index].event), onlyOneOf: stamps)
        }
        for thread in 0..<firstOfThread.count {
            let first = Int(firstOfThread[thread])
            guard first >= 0, first != index else { continue }
            if isAnchor(Int(elements[first].event)) { return false }
        }
        for other in 0..<elements.count - 1 where !elements[other].isRemoved {
            if last.traits.contains(.vague) { return false }
            let event = Int(elements[other].event)
            if last.footprint.filter & history[event].filter != 0,
                last.footprint.conflicts(with: history.footprint(event))
            {
                return false
            }
        }
        return true
    }

    /// Takes the element `index`, the first of `thread`, out.
    func remove(_ index: Int32, of thread: Int32) {
        elements[Int(index)].isRemoved = true
        setFirst(elements[Int(index)].next, of: Int(thread))
    }

    /// Calls `body` with the thread, the choice and the footprint of what is left, in order, and
    /// whether what it touches elsewhere is known.
    @inline(__always)
    func forEachLeft(_ body: (Int32, Int32, Footprint, _ isVague: Bool) -> Void) {
        let count = elements.count - 1
        for index in 0..<count where !elements[index].isRemoved {
            let event = Int(elements[index].event)
            body(history[event].thread, history.choice(event), history.footprint(event), false)
        }
        if !elements[count].isRemoved {
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
