// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The thread that looks after a pool while more is listed than its workers can take up: it starts
/// with the first such moment.
///
/// Kernel counterpart: the mayday timer of a `struct worker_pool`.
final class Rescuer: Sendable {
    private let delay: Duration
    private let thread = Mutex(ServiceThread(name: "rescuer"))
    /// Counts the calls.
    private let point = WaitPoint()

    /// A rescuer that looks at its pool every `delay`.
    init(delay: Duration) {
        self.delay = delay
        thread.label("rescuer.thread")
        point.label("rescuer.calls")
    }

    /// Looks after `pool` until nothing is listed. False when the system has no thread to give.
    func watch(_ pool: WorkerPool) -> Bool {
        point.word.add(1, ordering: .releasing)
        point.wake(1)
        return thread.withLock { thread in
            (try? thread.start { [self] in serve(pool) }) != nil
        }
    }

    private func serve(_ pool: WorkerPool) {
        // What it waits for seldom comes soon.
        var patience = WaitPoint.Patience.none
        var seen: UInt32 = 0
        while true {
            let calls = point.word.load(ordering: .acquiring)
            if calls == seen {
                if case .over = point.idle(while: seen, patience: &patience) { return }
                continue
            }
            repeat {
                let deadline = WorldClock.now() + delay
                var call = WaitPoint.Call.woken
                while call == .woken {
                    seen = point.word.load(ordering: .acquiring)
                    call = point.idle(while: seen, until: deadline, patience: &patience)
                }
                if call == .over { return }
            } while pool.rescue()
        }
    }
}
