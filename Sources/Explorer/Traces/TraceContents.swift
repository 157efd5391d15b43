// SPDX-License-Identifier: Apache-2.0

/// What a trace shows, for each verdict: the entries of a recorded execution from which a reader
/// can tell the cause.
///
/// - *Use after free, double free, data race, resumed twice, trap, misuse, blocking task, declared
///   order, failed expectation of a thread, blocked outside*: the steps that the verdict is about
///   and all that happened before them, for a thread that was elsewhere has no part in it.
/// - *Deadlock* with a cycle: for each thread of the cycle what it waits for, and all that happened
///   before. What each holds is among that.
/// - *Lost wake-up, never resumed, leaked task, deadlock without a cycle*: nobody will come. The
///   cause is what the threads that could have come did instead, and they need not have touched
///   what the waiter waits on. So it is the whole execution, if it has room on a screen; else all
///   steps of the threads that wait for ever, all steps on an object that one of them used, and all
///   that happened before these.
/// - *Leak, failed expectation at the end, step limit*: the whole execution.
///
/// Notes, and what a thread says of a task (that it creates, resumes or cancels it), stand with the
/// step before them. The table is cut to a screen, of which the end is kept.
struct TraceContents {
    /// How many rows a screen has.
    static let screen = 60

    private let recorder: Recorder
    private let verdict: Verdict
    private let showsEveryEvent: Bool

    init(_ recorder: Recorder, _ verdict: Verdict, showsEveryEvent: Bool) {
        self.recorder = recorder
        self.verdict = verdict
        self.showsEveryEvent = showsEveryEvent
    }

    private var targets: [Int] {
        verdict.steps.filter { $0 >= 0 && $0 < recorder.entries.count }
    }

    /// A failure that is seen at the end is about everything.
    private var isAboutAll: Bool { targets.isEmpty || verdict.kind == .leak || showsEveryEvent }

    /// The indices of the entries that are shown.
    func entries() -> [Int] {
        let entries = recorder.entries
        let targets = targets
        let positions = isAboutAll ? [] : relevantPositions()
        var keptLast: Set<Int32> = []
        var result: [Int] = []
        let last = isAboutAll ? entries.count - 1 : targets.max() ?? entries.count - 1
        for (index, entry) in entries.enumerated() where index <= last {
            let isKept: Bool
            switch entry.action {
            // The timers that fire then say so.
            case .event(let event) where event.kind == .tick: isKept = false
            case .event(let event)
            where event.kind == .release && event.traits.contains(.silent)
                && releasesLater(entry, index):
                isKept = false
            case .event:
                isKept = isAboutAll || positions[entry.position] || targets.contains(index)
                if isKept { keptLast.insert(entry.thread) } else { keptLast.remove(entry.thread) }
            case .allocate, .late: isKept = targets.contains(index)
            case .plainRead(let object), .plainWrite(let object):
                isKept = targets.contains(index) || (verdict.objects.contains(object) && isAboutAll)
            case .blocked, .preempted: isKept = true
            case .note, .waiting:
                isKept =
                    targets.contains(index) || keptLast.contains(entry.thread)
                    || !hasEvent(entry.thread, before: index)
            }
            if isKept { result.append(index) }
        }
        return result
    }

    /// By position: whether the step is shown.
    private func relevantPositions() -> [Bool] {
        var isShown = [Bool](repeating: false, count: recorder.positions.count)
        let roots = roots()
        for position in isShown.indices {
            isShown[position] = roots.contains {
                $0 == position || recorder.history.happens(position, before: $0)
            }
        }
        return isShown
    }

    /// The steps that matter by themselves.
    private func roots() -> [Int] {
        let last = targets.compactMap { lastEvent(upTo: $0) }
        guard isAboutNobody else { return last }
        if recorder.positions.count <= Self.screen { return Array(recorder.positions.indices) }
        let waiters = Set(targets.map { recorder.entries[$0].thread })
        // The entry of a step holds its event, whose footprint says what it used.
        let events: [(thread: Int32, objects: [Int32])] = recorder.positions.map {
            let entry = recorder.entries[$0]
            guard case .event(let event) = entry.action else { return (entry.thread, []) }
            return (
                entry.thread,
                (0..<Int(event.footprint.count)).map { event.footprint.object($0) }
            )
        }
        let used = Set(events.filter { waiters.contains($0.thread) }.flatMap(\.objects))
        return last + events.indices.filter { !used.isDisjoint(with: events[$0].objects) }
    }

    /// Whether the verdict is that somebody waits for what nobody will do.
    private var isAboutNobody: Bool {
        switch verdict.kind {
        case .lostWakeUp, .neverResumed, .leakedTask: true
        case .deadlock:
            targets.contains {
                if case .blocked(_, on: "nobody") = recorder.entries[$0].action {
                    true
                } else {
                    false
                }
            }
        default: false
        }
    }

    private func hasEvent(_ thread: Int32, before index: Int) -> Bool {
        recorder.entries[..<index].contains { $0.thread == thread && $0.position >= 0 }
    }

    /// The position of the last event that the entry's thread took by then.
    private func lastEvent(upTo index: Int) -> Int? {
        let thread = recorder.entries[index].thread
        return recorder.entries[...index].last { $0.thread == thread && $0.position >= 0 }?.position
    }

    /// Whether the thread gives up another reference to the same object after this one: only its
    /// last one decides.
    private func releasesLater(_ entry: Recorder.Entry, _ index: Int) -> Bool {
        recorder.entries[(index + 1)...].contains {
            guard $0.thread == entry.thread, $0.object == entry.object,
                case .event(let later) = $0.action
            else { return false }
            return later.kind == .release
        }
    }
}
