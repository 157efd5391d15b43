// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// From the state of an execution to a sentence.
extension Scheduler {
    func failExpectation(_ message: String, _ site: Site) {
        let place = "\(SourceFile.name(site.file)):\(site.line)"
        let who =
            mode == .afterwards ? "after every thread had ended" : "in \(name(ofThread: current))"
        recorder?.note(thread: current, .note("✗ expectation"), site: site)
        fail(
            .expectation,
            message.isEmpty
                ? "an expectation failed \(who), at \(place)" : "\(message) (\(who), \(place))",
            steps: mode == .afterwards ? [] : recorder.map { [$0.count - 1] } ?? [])
    }

    /// As above, for an expectation of another library's.
    func failExpectation(_ message: String, _ place: CodePlace) {
        recorder?.note(thread: current, .note("✗ expectation"), site: nil)
        recorder?.setPlace(place)
        fail(
            .expectation,
            "\(message) (in \(name(ofThread: current)), \(place.fileName):\(place.line))",
            steps: recorder.map { [$0.count - 1] } ?? [])
    }

    func failThrown(_ error: any Error) {
        fail(
            .expectation, "the explored closure threw: \(error)",
            steps: recorder.map { [$0.count - 1] } ?? [])
    }

    /// The verdict that follows from how the execution ended.
    func judge() {
        switch outcome {
        case .complete, .blocked: return
        case .cut:
            guard divergence == nil else { return }
            let busiest = (0..<Int(threads.count)).filter { threads[$0].state == .parked }.map {
                threads.names[$0]
            }
            verdict = Verdict(
                .stepLimit,
                "the execution was cut after \(options.stepLimit) steps"
                    + (busiest.isEmpty ? "" : "; still running: \(busiest.joined(separator: ", "))")
                    + ". A loop that waits must say so with spin(while:) or a wait")
        case .deadlocked: verdict = deadlockVerdict()
        }
    }

    func judgeForeignUse() {
        foreignUses.store(0, ordering: .relaxed)
        verdict = Verdict(
            .misuse,
            "a thread that the explorer does not run used the explored world; only the threads and tasks of the exploration can"
        )
    }

    private func deadlockVerdict() -> Verdict {
        let blocked = (0..<threads.count).filter {
            threads[$0].state == .parked && !threads[$0].mayWaitForEver
                && !threads[$0].isBuffer
        }
        if let stuck = stuckVerdict(besides: blocked) { return stuck }
        for thread in blocked {
            if let cycle = cycle(from: thread) { return cycle }
        }
        // Those who wait for a wake-up hold up the others.
        if let waiter = blocked.first(where: { waitsForWakeUp($0) }) {
            let object = threads[waiter].object
            let others = blocked.filter { $0 != waiter }.map { name(ofThread: $0) }
            let rest =
                others.isEmpty ? "" : "; \(others.joined(separator: " and ")) cannot go on either"
            return Verdict(
                .lostWakeUp,
                "\(name(ofThread: waiter)) \(waiting(waiter)) and nobody is left to wake it\(rest)",
                steps: lastEntries(of: blocked), objects: [object])
        }
        let sentences = blocked.map { "\(name(ofThread: $0)) \(waiting($0))" }
        return Verdict(
            .deadlock, sentences.joined(separator: "; ") + "; nobody can go on",
            steps: lastEntries(of: blocked),
            objects: blocked.map { threads[$0].object })
    }

    private func waitsForWakeUp(_ thread: Int32) -> Bool {
        let record = threads[thread]
        switch record.kind {
        case .reacquire, .unpark, .resume: return !record.isWoken
        default: return false
        }
    }

    /// Whom a blocked thread waits for, -1 when that is nobody in particular.
    private func holder(for thread: Int32) -> Int32 {
        let record = threads[thread]
        switch record.kind {
        case .lock: return objects[record.object].lock.owner
        case .reacquire: return record.isWoken ? objects[record.other].lock.owner : -1
        case .join: return record.other
        case .records: return holderOfRecords(for: thread)
        case .readLock, .writeLock:
            if objects[record.object].lock.owner >= 0 { return objects[record.object].lock.owner }
            let reader = readSections.reader(of: record.object, except: thread)
            if reader >= 0 { return reader }
            // A reader behind a waiting writer.
            return (0..<threads.count).first {
                threads[$0].kind == .writeLock && threads[$0].object == record.object
                    && threads[$0].state == .parked && $0 != thread
            }
                ?? readSections.reader(of: record.object, except: -1)
        default: return -1
        }
    }

    private func cycle(from start: Int32) -> Verdict? {
        var path: [Int32] = []
        var thread = start
        while thread >= 0, threads[thread].state == .parked, !path.contains(thread) {
            path.append(thread)
            thread = holder(for: thread)
        }
        guard let begin = path.firstIndex(of: thread) else { return nil }
        let cycle = path[begin...]
        let sentences = cycle.map { "\(name(ofThread: $0)) \(waiting($0))" }
        return Verdict(
            .deadlock, sentences.joined(separator: "; "), steps: lastEntries(of: Array(cycle)),
            objects: cycle.map { threads[$0].object })
    }

    /// What a blocked thread does, in words.
    func waiting(_ thread: Int32) -> String {
        let record = threads[thread]
        let holder = holder(for: thread)
        let held =
            holder >= 0
            ? holder == thread ? ", which it holds itself" : ", held by \(name(ofThread: holder))"
            : ""
        let ended = holder >= 0 && threads[holder].state != .parked ? ", which has ended" : ""
        switch record.kind {
        case .reacquire where record.isWoken:
            return "waits for \(name(of: record.other))\(held)\(ended)"
        case .reacquire, .unpark: return "waits on \(waitName(record.object))"
        case .join: return "waits for \(name(ofThread: record.other)) to end"
        case .records: return "waits until a cancellation is over\(held)\(ended)"
        case .resume: return "spins on \(name(of: record.object)), which nobody writes any more"
        default: return "waits for \(name(of: record.object))\(held)\(ended)"
        }
    }

    /// A wait point's queue goes by the name of its word.
    func waitName(_ object: Int32) -> String {
        if names[object] == nil, objects.isLive(object), objects[object].address & 1 == 1 {
            return name(of: self.object(at: objects[object].address - 1))
        }
        return name(of: object)
    }

    /// Records what the blocked threads wait for, and returns where.
    private func lastEntries(of blocked: [Int32]) -> [Int] {
        guard let recorder else { return [] }
        return blocked.map { thread in
            let record = threads[thread]
            let holder = holder(for: thread)
            let what =
                switch record.kind {
                case .reacquire where record.isWoken: "lock \(name(of: record.other)) again"
                case .reacquire, .unpark: "waits on \(waitName(record.object))"
                case .join: "join \(name(ofThread: record.other))"
                case .readLock: "read \(name(of: record.object))"
                case .writeLock: "write \(name(of: record.object))"
                case .resume: "spins on \(name(of: record.object))"
                default: "lock \(name(of: record.object))"
                }
            let whom = holder >= 0 ? name(ofThread: holder) : "nobody"
            recorder.note(thread: thread, .blocked(what, on: whom), site: threads[thread].site)
            return recorder.count - 1
        }
    }

    // MARK: Declared waits

    func noteWait(_ role: WaitClass.Role, _ name: () -> String) {
        // The step of a join or of a condition's wait says so itself.
        guard mode == .exploring, role != .thread, role != .condition else { return }
        recorder?.note(thread: current, .waiting(name()), site: nil)
    }
}
