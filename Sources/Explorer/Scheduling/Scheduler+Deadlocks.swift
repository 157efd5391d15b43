// SPDX-License-Identifier: Apache-2.0

import Substrate

// An execution has ended with threads or tasks that wait for ever. Which waits for which?
extension Scheduler {
    func deadlockVerdict() -> Verdict {
        let blocked = (0..<threads.count).filter {
            threads[$0].state == .parked && !threads[$0].mayWaitForEver
                && !threads[$0].isBuffer
        }
        let stuck = stuckTasks
        for thread in blocked + stuck {
            if let cycle = cycle(from: thread) { return deadlock(of: cycle, ending: "") }
        }
        if let verdict = stuckVerdict(stuck, besides: blocked) { return verdict }
        // The threads that wait for a wake-up hold up the others.
        let waiters = blocked.filter { waitsForWakeUp($0) }
        if let waiter = waiters.first(where: { awaited(by: $0).isEmpty }) ?? waiters.first {
            let object = threads[waiter].object
            let others = blocked.filter { $0 != waiter }.map { name(ofThread: $0) }
            let rest =
                others.isEmpty ? "" : "; \(others.joined(separator: " and ")) cannot go on either"
            return Verdict(
                .lostWakeUp,
                "\(name(ofThread: waiter)) \(waiting(waiter)) and nobody is left to wake it\(rest)",
                steps: noteBlocked(blocked), objects: [object])
        }
        return deadlock(of: blocked, ending: "; nobody can go on")
    }

    private func deadlock(of blocked: [Int32], ending: String) -> Verdict {
        let sentences = blocked.map { "\(name(ofThread: $0)) \(waiting($0))" }
        return Verdict(
            .deadlock, sentences.joined(separator: "; ") + ending, steps: noteBlocked(blocked),
            objects: blocked.map { threads[$0].object })
    }

    private func waitsForWakeUp(_ thread: Int32) -> Bool {
        let record = threads[thread]
        switch record.kind {
        case .reacquire, .unpark, .resume: return !record.isWoken
        default: return false
        }
    }

    // MARK: Which thread waits for which

    private func cannotGoOn(_ thread: Int32) -> Bool {
        threads[thread].state == .parked
            || threads[thread].isTask && threads[thread].state == .suspended
    }

    /// The innermost wait that the thread is in as declared, and those inside of what it waits for.
    /// Where nobody is inside of an item, that is the queue in which the item stands in line.
    private func declaredWait(of thread: Int32) -> (wait: DeclaredWaits.Wait, inside: [Int32])? {
        let record = threads[thread]
        let isParked = (record.kind == .unpark || record.kind == .reacquire) && !record.isWoken
        guard isParked || record.state == .suspended else { return nil }
        let waits = declaredWaits.waits(of: thread)
        for wait in waits {
            let inside = declaredWaits.inside(wait)
            if !inside.isEmpty { return (wait, inside) }
        }
        return waits.first.map { ($0, []) }
    }

    /// Whom a blocked thread waits for; nobody in particular where it waits for a wake-up that
    /// anybody could have given.
    private func awaited(by thread: Int32) -> [Int32] {
        if let declared = declaredWait(of: thread) { return declared.inside }
        let holder = holder(for: thread)
        return holder < 0 ? [] : [holder]
    }

    /// Whom a blocked thread waits for, -1 when that is nobody in particular.
    private func holder(for thread: Int32) -> Int32 {
        let record = threads[thread]
        if record.state == .suspended { return -1 }
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

    /// Threads that wait for one another in a circle, and those that they wait for besides.
    private func cycle(from start: Int32) -> [Int32]? {
        var path: [Int32] = []
        var visited: Set<Int32> = []
        func search(_ thread: Int32) -> [Int32]? {
            if let begin = path.firstIndex(of: thread) { return Array(path[begin...]) }
            guard cannotGoOn(thread), visited.insert(thread).inserted else { return nil }
            path.append(thread)
            defer { path.removeLast() }
            for next in awaited(by: thread) {
                if let found = search(next) { return found }
            }
            return nil
        }
        guard var result = search(start) else { return nil }
        var index = 0
        while index < result.count {
            for next in awaited(by: result[index])
            where cannotGoOn(next) && !result.contains(next) {
                result.append(next)
            }
            index += 1
        }
        return result
    }

    // MARK: In words

    /// What a blocked thread does, in words.
    func waiting(_ thread: Int32) -> String {
        let record = threads[thread]
        if let (wait, inside) = declaredWait(of: thread), !wait.name.isEmpty {
            return waiting(thread, wait, inside)
        }
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
        case .records:
            let whose = record.other >= 0 ? " of \(name(ofThread: record.other))" : ""
            let by = holder >= 0 ? ", carried out by \(name(ofThread: holder))," : ""
            return "waits until the cancellation\(whose)\(by) is over\(ended)"
        case .resume: return "spins on \(name(of: record.object)), which nobody writes any more"
        default: return "waits for \(name(of: record.object))\(held)\(ended)"
        }
    }

    private func waiting(_ thread: Int32, _ wait: DeclaredWaits.Wait, _ inside: [Int32]) -> String {
        let innermost = declaredWaits.waits(of: thread).first ?? wait
        guard !inside.isEmpty else { return "waits for \(innermost.name)" }
        let names = inside.map { $0 == thread ? "itself" : name(ofThread: $0) }.joined(
            separator: " and ")
        if innermost.instance != wait.instance || innermost.role != wait.role {
            return "waits for \(innermost.name), which is in line on \(wait.name) behind \(names)"
        }
        switch wait.role {
        case .gate:
            return "waits until \(names) \(inside.count == 1 ? "has" : "have") left \(wait.name)"
        case .workQueue: return "waits for \(wait.name), whose items run on \(names)"
        default: return "waits for \(wait.name), which runs on \(names)"
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
    func noteBlocked(_ blocked: [Int32]) -> [Int] {
        blocked.map { thread in
            guard let recorder else { return -1 }
            if threads[thread].state == .suspended, declaredWait(of: thread) == nil {
                return noteStuck(thread)
            }
            let whom = awaited(by: thread).map { name(ofThread: $0) }
            recorder.note(
                thread: thread,
                .blocked(
                    attempt(thread), on: whom.isEmpty ? "nobody" : whom.joined(separator: ", ")),
                site: siteOfWait(thread))
            recorder.setPlace(placeOfWait(thread))
            return recorder.count - 1
        }
    }

    /// What a blocked thread tries to do, for the table.
    private func attempt(_ thread: Int32) -> String {
        let record = threads[thread]
        if let (wait, _) = declaredWait(of: thread), !wait.name.isEmpty {
            return "waits for \(declaredWaits.waits(of: thread)[0].name)"
        }
        switch record.kind {
        case .reacquire where record.isWoken: return "lock \(name(of: record.other)) again"
        case .reacquire, .unpark: return "waits on \(waitName(record.object))"
        case .join: return "join \(name(ofThread: record.other))"
        case .readLock: return "read \(name(of: record.object))"
        case .writeLock: return "write \(name(of: record.object))"
        case .resume: return "spins on \(name(of: record.object))"
        case .records:
            let whose = record.other >= 0 ? " of \(name(ofThread: record.other))" : ""
            return "wait for cancel\(whose)"
        default: return "lock \(name(of: record.object))"
        }
    }

    /// The operation's own place; where a task waits there is none, nor at a lock of the runtime's.
    private func siteOfWait(_ thread: Int32) -> Site? {
        if threads[thread].state == .suspended { return nil }
        return threads[thread].site ?? Site("", 0)
    }

    /// Where the user's code called what a thread waits in; nil where the operation says it itself.
    private func placeOfWait(_ thread: Int32) -> CodePlace? {
        if threads[thread].state == .suspended { return placeOfTask(thread) }
        let isDeclared = declaredWait(of: thread) != nil
        guard isDeclared || threads[thread].kind == .records else { return nil }
        return recorder?.callers[thread].flatMap {
            Symbolizer.place(of: $0, isReturn: true, isUsers: true)
        }
    }
}
