// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The spin loops of an execution: by thread, what its loop's condition has touched in the present
/// round.
final class SpinLoops {
    /// How many threads spin.
    var count = 0
    private let reads = Stack<Footprint>(capacity: 8)

    /// A round begins, of a loop that has touched nothing.
    func begin(_ thread: Int) {
        reads.extend(to: thread + 1, with: Footprint())
        reads[thread] = Footprint()
    }

    subscript(thread: Int) -> Footprint {
        get { reads[thread] }
        set { reads[thread] = newValue }
    }
}

// A thread that spins is blocked until something that it has read is written.
extension Scheduler {
    func beginSpin() {
        guard mode == .exploring || mode == .finishing else { return }
        let thread = Int(current)
        suspendOperation(of: current)
        if !threads[thread].isSpinning { spins.count += 1 }
        notePlainness()
        threads[thread].isSpinning = true
        threads[thread].isWoken = false
        threads[thread].round = -1
        spins.begin(thread)
    }

    func waitInSpin(_ site: Site) {
        let thread = current
        guard mode == .exploring || mode == .finishing else {
            if mode == .draining { drainStep(thread) }
            return
        }
        threads[thread].kind = .resume
        let reads = spins[Int(thread)]
        threads[thread].object = reads.count > 0 ? reads.object(0) : -1
        park(thread)
        if mode == .draining { return }
        var event = Event(threads[thread].step(of: thread))
        event.footprint = reads
        event.round = threads[thread].round
        // It wakes nobody.
        event.traits.insert(.silent)
        commit(event, site: site)
    }

    func wakeSpinners(_ event: Event) {
        let own = Int(event.thread)
        // What it reads once something was written counts as well: without that, it might go on for
        // this.
        if threads[own].isSpinning {
            if threads[own].round < 0 { threads[own].round = threads[own].last }
            for index in 0..<Int(event.footprint.count) {
                // What stands for whatever tasks share is nothing that the condition reads.
                let object = event.footprint.object(index)
                if object == ObjectTable.jobs || object == threads[own].taskObject { continue }
                // Readers decide a try to write, so that it conflicts with them; so does going on.
                let added = spins[own].addIfRoom(
                    object,
                    writes: event.kind == .tryWriteLock && event.footprint.writes(index))
                if !added {
                    reachLimit(
                        "the condition of a spin loop of \(name(ofThread: event.thread)) reads more than \(Footprint.capacity) objects, which is as many as the explorer can watch"
                    )
                }
            }
        }
        for thread in 0..<Int(threads.count)
        where thread != own && threads[thread].isSpinning && !threads[thread].isWoken {
            if mayChangeAnything(event, for: thread) {
                threads[thread].isWoken = true
                continue
            }
            let reads = spins[thread]
            for index in 0..<Int(reads.count) where event.wakes(reads.object(index), reads) {
                threads[thread].isWoken = true
            }
        }
    }

    /// Whether the step may have changed something that is not Substrate's and on which the
    /// condition of `spinner` depends: a task's step may. A step of another spinner does not: that
    /// thread only looked, and waits.
    private func mayChangeAnything(_ event: Event, for spinner: Int) -> Bool {
        guard attention.jobs else { return false }
        if event.kind == .cancel { return true }
        return !threads[event.thread].isSpinning
            && (event.footprint.writes(to: ObjectTable.jobs)
                || threads[spinner].taskObject >= 0
                    && event.footprint.writes(to: threads[spinner].taskObject))
    }

    func endSpin() {
        guard mode == .exploring || mode == .finishing else { return }
        threads[current].isSpinning = false
        spins.count -= 1
        notePlainness()
    }
}
