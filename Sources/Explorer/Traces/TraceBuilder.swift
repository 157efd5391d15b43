// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Makes a trace of a recorded execution: numbers the steps that matter and puts them into words.
struct TraceBuilder {
    private let scheduler: Scheduler
    private let verdict: Verdict
    private let origin: Trace.Origin
    private let recorder: Recorder

    init(_ scheduler: Scheduler, _ verdict: Verdict, _ origin: Trace.Origin) {
        self.scheduler = scheduler
        self.verdict = verdict
        self.origin = origin
        recorder = scheduler.recorder ?? Recorder()
    }

    func build() -> Trace {
        let shown = TraceContents(
            recorder, verdict, showsEveryEvent: scheduler.options.showsEveryEvent
        ).entries()
        var trace = Trace()
        trace.total = recorder.positions.count
        trace.preemptions = origin.preemptions
        trace.isMinimal = origin.isMinimal
        trace.executionNumber = origin.number
        let columns = columns(of: shown)
        trace.threads = columns.map { scheduler.name(ofThread: $0) }
        trace.stateTitle = stateTitle

        var numbers: [Int: Int] = [:]
        for index in shown {
            let entry = recorder.entries[index]
            guard let column = columns.firstIndex(of: columnThread(of: entry)) else { continue }
            var row = Trace.Row(
                step: nil, thread: column, text: text(of: entry), badge: badge(of: index), state: ""
            )
            if case .preempted(let atAwait) = entry.action {
                row.text = atAwait ? "⋯ others first ⋯" : "⋯ preempted ⋯"
            } else {
                numbers[index] = numbers.count + 1
                row.step = numbers.count
                row.state = state(of: entry)
                if entry.position >= 0 { trace.shown += 1 }
            }
            trace.rows.append(row)
        }
        trace.rows = withoutIdleMarks(trace.rows)
        if trace.rows.count > TraceContents.screen, !scheduler.options.showsEveryEvent {
            // The end is what a reader wants of a long one.
            trace.rows.removeFirst(trace.rows.count - TraceContents.screen)
            trace.shown = trace.rows.count { $0.step != nil }
        }
        trace.sources = sources() + placesOfJobs(numbers)
        trace.sentence = numbered(verdict.sentence, numbers)
        trace.remark = remark(numbers)
        return trace
    }

    // MARK: Rows and columns

    /// A mark of a preemption between two steps of the same thread says nothing.
    private func withoutIdleMarks(_ rows: [Trace.Row]) -> [Trace.Row] {
        var result: [Trace.Row] = []
        for (index, row) in rows.enumerated() {
            if row.step == nil {
                let before = result.last { $0.step != nil }?.thread
                let after = rows[(index + 1)...].first { $0.step != nil }?.thread
                let returns = rows[(index + 1)...].contains {
                    $0.step != nil && $0.thread == row.thread
                }
                guard before == row.thread, let after, after != row.thread, returns else {
                    continue
                }
            }
            result.append(row)
        }
        return result
    }

    private func columnThread(of entry: Recorder.Entry) -> Int32 {
        scheduler.threads[entry.thread].isBuffer
            ? scheduler.threads[entry.thread].bufferLink : entry.thread
    }

    private func columns(of shown: [Int]) -> [Int32] {
        var threads: [Int32] = []
        for index in shown {
            let thread = columnThread(of: recorder.entries[index])
            if !threads.contains(thread) { threads.append(thread) }
        }
        return threads.sorted {
            scheduler.threads[$0].spawnIndex < scheduler.threads[$1].spawnIndex
        }
    }

    // MARK: Words

    private func text(of entry: Recorder.Entry) -> String {
        switch entry.action {
        case .note(let text): return text
        case .allocate(let name): return "allocate \(name)"
        case .waiting(let name): return "waits for \(name)"
        case .preempted: return ""
        case .blocked(let what, _): return what
        case .late(let verb, let name): return "\(verb) \(name)"
        case .plainRead(let object): return "\(scheduler.name(of: object)) → \(entry.new)"
        case .plainWrite(let object): return write(scheduler.name(of: object), entry)
        case .event(let event): return text(of: event, entry)
        }
    }

    /// Where a task goes on.
    private func place(of entry: Recorder.Entry) -> CodePlace? {
        entry.place
            ?? (entry.frames.isEmpty ? nil : Symbolizer.place(of: entry.frames, isReturn: false))
    }

    private func write(_ name: String, _ entry: Recorder.Entry) -> String {
        entry.new.isEmpty ? "change \(name)" : "\(name) = \(entry.new)"
    }

    private func text(of event: Event, _ entry: Recorder.Entry) -> String {
        let name = scheduler.name(of: entry.object)
        switch event.kind {
        case .load: return "\(name) → \(entry.new)"
        case .store: return "\(name) = \(entry.new)"
        case .bufferedStore: return "\(name) = \(entry.new) (buffered)"
        case .flush: return "buffer flushes \(name)"
        case .update: return "\(name) \(entry.old)→\(entry.new)"
        case .compareExchange:
            return event.footprint.writes(0)
                ? "\(name) \(entry.old)→\(entry.new)" : "\(name) is \(entry.old), not \(entry.new)"
        case .fence: return "fence"
        case .membarrier: return "membarrier"
        case .lock: return "lock \(name)"
        case .tryLock, .tryReadLock, .tryWriteLock:
            return "try \(name): \(event.traits.contains(.acquires) ? "got it" : "taken")"
        case .unlock: return "unlock \(name)"
        case .readLock: return "read-lock \(name)"
        case .readUnlock: return "read-unlock \(name)"
        case .writeRequest:
            return event.traits.contains(.acquires) ? "write-lock \(name)" : "wait to write \(name)"
        case .writeLock: return "write-lock \(name)"
        case .writeUnlock: return "write-unlock \(name)"
        case .wait: return "wait \(name)"
        case .timeout: return "wait times out"
        case .reacquire: return "woken, lock \(name)"
        case .signal, .broadcast, .wake:
            let verb =
                event.kind == .broadcast ? "wake all" : event.kind == .wake ? "wake" : "signal"
            return "\(verb) \(scheduler.waitName(entry.object))"
                + (entry.woken.isEmpty ? ": nobody" : ": \(entry.woken)")
        case .park:
            return event.footprint.count > 1
                && event.footprint.writes(Int(event.footprint.count) - 1)
                ? "sleep while \(name)" : "\(name) differs: no sleep"
        case .unpark: return "woken"
        case .join: return "join \(scheduler.name(ofThread: entry.other))"
        case .arm: return "sleep"
        case .fire, .tick: return "time passes"
        case .readClock: return "read the clock"
        case .allocate:
            // The allocator, the memory's life, and the life that it had before.
            let lives = (1..<Int(event.footprint.count)).map { event.footprint.object($0) }
            return "allocate "
                + lives.map { scheduler.name(of: $0) }.joined(separator: " where ")
                + (lives.count > 1 ? " was" : "")
        case .free: return "free \(name)"
        case .touch:
            if entry.isWrite == true { return write(name, entry) }
            return entry.new.isEmpty ? "read \(name)" : "\(name) → \(entry.new)"
        case .mark, .machine: return entry.new
        case .resume: return "goes on"
        case .spawn: return entry.old == "task" ? entry.new : "start \(entry.new)"
        case .census: return "look for threads"
        case .release: return event.traits.contains(.silent) ? "drop \(name)" : "end \(name)"
        case .askReferences: return "\(name) is held \(entry.new)"
        case .loadReference: return "load \(name) → \(entry.new)"
        case .operation: return entry.old.isEmpty ? "\(entry.new) \(name)" : entry.old
        case .arrive: return "queues for \(entry.new)"
        case .records: return "goes on after a cancellation"
        case .cancel: return entry.new
        case .job:
            if event.previous < 0 { return "starts" }
            return place(of: entry).map { "goes on \($0.short)" } ?? "goes on"
        }
    }

    private var isDeadlock: Bool { verdict.kind == .deadlock || verdict.kind == .lostWakeUp }

    private var stateTitle: String {
        if isDeadlock { return "waiting" }
        if let object = verdict.objects.first,
            verdict.kind == .useAfterFree || verdict.kind == .doubleFree || verdict.kind == .leak
        {
            return scheduler.name(of: object)
        }
        return "state"
    }

    private func state(of entry: Recorder.Entry) -> String {
        // Tasks need the room for their columns.
        if verdict.kind == .neverResumed || verdict.kind == .leakedTask { return "" }
        if isDeadlock {
            if case .blocked(_, let whom) = entry.action {
                return "\(scheduler.name(ofThread: entry.thread)) on \(whom)"
            }
            return ""
        }
        let name = shortName(entry.object)
        if stateTitle != "state", case .event(let event) = entry.action, event.kind != .free {
            // The column is about one object.
            guard scheduler.name(of: entry.object).hasPrefix(stateTitle + ".") else { return "" }
        }
        switch entry.action {
        case .allocate(let name) where name == stateTitle: return "alive"
        case .event(let event):
            switch event.kind {
            case .free where scheduler.name(of: entry.object) == stateTitle: return "freed"
            case .update: return "\(name) \(entry.old)→\(entry.new)"
            case .store: return "\(name) \(entry.old)→\(entry.new)"
            case .compareExchange where event.footprint.writes(0):
                return "\(name) \(entry.old)→\(entry.new)"
            default: return ""
            }
        default: return ""
        }
    }

    /// A name without the part that the column's title says.
    private func shortName(_ object: Int32) -> String {
        let name = scheduler.name(of: object)
        return name.hasPrefix(stateTitle + ".")
            ? String(name.dropFirst(stateTitle.count + 1)) : name
    }

    private func badge(of index: Int) -> String {
        let entry = recorder.entries[index]
        if case .blocked = entry.action { return "⧗" }
        guard let place = verdict.steps.firstIndex(of: index) else {
            if case .event(let event) = entry.action,
                event.kind == .lock || event.kind == .reacquire
            {
                return "held"
            }
            return ""
        }
        switch entry.action {
        case .allocate: return "●"
        case .event(let event) where event.kind == .free && place < verdict.steps.count - 1:
            return "◆"
        case .late("free", _) where place < verdict.steps.count - 1: return "◆"
        default: return verdict.kind == .leak ? "" : "✗"
        }
    }

    private func sources() -> [Trace.Source] {
        verdict.steps.filter { $0 >= 0 && $0 < recorder.entries.count }.compactMap { index in
            let entry = recorder.entries[index]
            if let place = entry.place, let label = label(ofPlaced: entry) {
                return Trace.Source(
                    badge: badge(of: index), label: label, file: place.fileName,
                    line: Int(place.line),
                    text: SourceFile.line(place.line, of: place.path))
            }
            guard let site = entry.site, site.line > 0 else { return nil }
            let label: String
            switch entry.action {
            case .allocate: label = "alloc"
            case .event(let event): label = event.kind == .free ? "free" : "\(event.kind)"
            case .plainRead: label = "read"
            case .plainWrite: label = "write"
            case .blocked: label = scheduler.name(ofThread: entry.thread)
            case .late(let verb, _): label = verb
            default: label = "here"
            }
            return Trace.Source(
                badge: badge(of: index),
                label: label == "touch" ? (entry.isWrite == true ? "write" : "read") : label,
                file: SourceFile.name(site.file), line: Int(site.line),
                text: SourceFile.line(site.line, of: site.file))
        }
    }

    /// What to call the place of an entry that was not told by an operation.
    private func label(ofPlaced entry: Recorder.Entry) -> String? {
        switch entry.action {
        case .note: "here"
        // A task's own `await` stands among the places of jobs.
        case .blocked where entry.site != nil: scheduler.name(ofThread: entry.thread)
        default: nil
        }
    }

    /// The lines at which tasks start and go on, each once, by the numbers of the steps.
    private func placesOfJobs(_ numbers: [Int: Int]) -> [Trace.Source] {
        var lines: [(place: CodePlace, steps: [Int])] = []
        for (index, number) in numbers.sorted(by: { $0.key < $1.key }) {
            let entry = recorder.entries[index]
            switch entry.action {
            case .event(let event) where event.kind == .job: break
            case .blocked where entry.place != nil && entry.site == nil: break
            default: continue
            }
            guard let place = place(of: entry) else { continue }
            if let known = lines.firstIndex(where: { $0.place == place }) {
                lines[known].steps.append(number)
            } else {
                lines.append((place, [number]))
            }
        }
        return lines.sorted {
            ($0.place.fileName, $0.place.line) < ($1.place.fileName, $1.place.line)
        }.map { line in
            Trace.Source(
                badge: line.steps.prefix(4).map { "\($0)" }.joined(separator: ",")
                    + (line.steps.count > 4 ? "…" : ""),
                label: "", file: line.place.fileName, line: Int(line.place.line),
                text: SourceFile.line(line.place.line, of: line.place.path))
        }
    }

    private func numbered(_ sentence: String, _ numbers: [Int: Int]) -> String {
        var result = ""
        var parts = sentence.split(separator: "#", omittingEmptySubsequences: false)[...]
        while let part = parts.popFirst() {
            if let index = Int(part), let number = numbers[index] {
                result += "\(number)"
            } else {
                result += String(part)
            }
        }
        return result
    }

    private func remark(_ numbers: [Int: Int]) -> String? {
        guard verdict.kind == .useAfterFree, verdict.steps.count >= 2 else { return nil }
        let free = recorder.entries[verdict.steps[verdict.steps.count - 2]]
        let access = recorder.entries[verdict.steps[verdict.steps.count - 1]]
        guard free.position >= 0, access.position >= 0, free.thread != access.thread,
            let first = numbers[verdict.steps[verdict.steps.count - 2]],
            let second = numbers[verdict.steps[verdict.steps.count - 1]]
        else { return nil }
        let before = Int(recorder.history[access.position].previous)
        if before >= 0, recorder.history.happens(free.position, before: before) {
            return "Step \(second) comes after step \(first) in every schedule that gets this far."
        }
        return
            "Steps \(first) and \(second) are unordered: no lock, reference or grace period keeps one before the other."
    }
}
