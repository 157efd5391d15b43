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
                // Readers decide a try to write, so that it conflicts with them; so does going on.
                let added = spins[own].addIfRoom(
                    event.footprint.object(index),
                    writes: event.kind == .tryWriteLock && event.footprint.writes(index))
                if !added {
                    fail(
                        .misuse,
                        "the condition of a spin loop reads more than \(Footprint.capacity) objects"
                    )
                }
            }
        }
        for thread in 0..<Int(threads.count)
        where thread != own && threads[thread].isSpinning && !threads[thread].isWoken {
            let reads = spins[thread]
            for index in 0..<Int(reads.count) where event.wakes(reads.object(index), reads) {
                threads[thread].isWoken = true
            }
        }
    }

    func endSpin() {
        guard mode == .exploring || mode == .finishing else { return }
        threads[current].isSpinning = false
        spins.count -= 1
        notePlainness()
    }
}
