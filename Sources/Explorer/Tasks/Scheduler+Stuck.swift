// SPDX-License-Identifier: Apache-2.0

import Substrate

// What to say when a task waits for ever.
extension Scheduler {
    /// The verdict on tasks that nobody is left to resume, if there are any. `blocked` are threads
    /// that cannot go on either.
    func stuckVerdict(_ stuck: [Int32], besides blocked: [Int32]) -> Verdict? {
        guard !stuck.isEmpty else { return nil }
        // A task that waits for one that it started is not where the trouble is.
        let unfinished = stuck + blocked.filter { threads[$0].isTask }
        let culprits = stuck.filter { task in !unfinished.contains { threads[$0].parent == task } }
        // Then it is with those that are blocked.
        guard !culprits.isEmpty else { return nil }
        var steps: [Int] = []
        for task in stuck {
            steps.append(noteStuck(task, on: stuck.filter { threads[$0].parent == task }))
        }
        let waits = culprits.map { "\(name(ofThread: $0)) \(whereItWaits($0))" }
        let others = stuck.filter { !culprits.contains($0) }.map { name(ofThread: $0) }
        let mainIsStuck = stuck.contains(threads.started[0])
        if !blocked.isEmpty {
            let threads = blocked.map { "\(name(ofThread: $0)) \(waiting($0))" }
            return Verdict(
                .deadlock, (waits + threads).joined(separator: "; ") + "; nobody can go on",
                steps: steps + noteBlocked(blocked),
                objects: blocked.map { self.threads[$0].object })
        }
        let rest =
            others.isEmpty
            ? ""
            : "; \(others.joined(separator: " and ")) \(others.count == 1 ? "waits" : "wait") for it"
        if jobs.hasWaitedInVain {
            mustStop = true
            return Verdict(
                .blockedOutside,
                waits.joined(separator: "; ")
                    + "; a thread that is not explored was given something to do, and has not resumed it for too long"
                    + rest, steps: steps)
        }
        if mainIsStuck {
            return Verdict(
                .neverResumed,
                waits.joined(separator: "; ") + ", and nobody is left to resume it" + rest,
                steps: steps)
        }
        return Verdict(
            .leakedTask,
            waits.joined(separator: "; ") + " and never ends, although main has ended" + rest,
            steps: steps
        )
    }

    /// A thread is about to block. If it is one of those that tasks share, that is wrong whatever
    /// comes of it. The main task is let off: it stands for a test that may well be synchronous.
    func noteBlockingTask(_ thread: Int32, _ site: Site) {
        guard threads[thread].isTask, threads[thread].spawnIndex > 0, verdict == nil
        else { return }
        let what =
            switch threads[thread].kind {
            case .join: "waits for \(name(ofThread: threads[thread].other)) to end"
            case .arm: "sleeps"
            default: "waits on \(waitName(threads[thread].object))"
            }
        recorder?.note(thread: thread, .note("✗ blocks"), site: site)
        fail(
            .blockingTask,
            "\(name(ofThread: thread)) \(what) without `await` and so blocks a thread that all tasks share, at "
                + "\(SourceFile.name(site.file)):\(site.line)",
            steps: recorder.map { [$0.count - 1] } ?? [])
    }

    private func whereItWaits(_ task: Int32) -> String {
        switch threads[task].standing {
        case .inActorQueue: return "waits for an actor that is never free"
        default:
            guard let place = placeOfTask(task) else { return "is suspended" }
            return
                "is suspended at the `await` in \(place.function), \(place.fileName):\(place.line)"
        }
    }

    /// Records where a task is suspended, and for which tasks that it started it waits.
    func noteStuck(_ task: Int32, on children: [Int32] = []) -> Int {
        guard let recorder else { return -1 }
        let place = placeOfTask(task)
        let whom = children.map { name(ofThread: $0) }.joined(separator: ", ")
        recorder.note(
            thread: task,
            .blocked(
                place.map { "await \($0.short)" } ?? "await", on: whom.isEmpty ? "nobody" : whom),
            site: nil)
        recorder.setPlace(place)
        return recorder.count - 1
    }
}
