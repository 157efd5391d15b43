// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// The timer is stopped, its handler runs: Linux 67a01afaf3d3 (ALSA aloop), 292a089d78d3.
@Suite struct HandlerRearms {
    private struct Cable: ~Copyable, Sendable {
        let ticks = Unsynchronized(0)
    }

    private final class Own: Sendable {
        let timer = Unsynchronized<DelayedWork?>(nil)
        init() { timer.label("own") }
    }

    private func program(
        rearms: Bool, _ stop: @escaping @Sendable (DelayedWork, WorkQueue) -> Void
    ) -> (ExploredWorld) -> Void {
        { _ in
            let cable = Storage.allocate(Cable(), name: "cable")
            cable.pointee.ticks.label("ticks")
            let queue = WorkQueue(name: "queue", .ordered)
            let own = Own()
            let timer = DelayedWork(name: "timer") {
                let isFirst = cable.pointee.ticks.withValue { ticks in
                    ticks += 1
                    return ticks == 1
                }
                guard rearms, isFirst, let timer = own.timer.load() else { return }
                _ = queue.enqueue(timer, after: .seconds(1))
            }
            own.timer.store(timer)
            _ = queue.enqueue(timer, after: .seconds(1))
            stop(timer, queue)
            unsafe cable.free()
        }
    }

    @Test func `stopping a timer does not wait for its handler`() throws {
        try expectFound(
            .useAfterFree, shows: ["main freed cable", "start timer", "cancel timer"],
            columns: ["main", "timers", "worker 0"],
            program(rearms: false) { timer, _ in timer.cancel() })
    }

    @Test func `a handler arms its timer behind a wait`() throws {
        try expectFound(
            .useAfterFree, shows: ["main freed cable", "arm timer on queue", "flush queue"],
            columns: ["main", "timers", "worker 0"],
            program(rearms: true) { timer, queue in
                timer.cancel()
                try? queue.flush()
            })
    }

    @Test func `a timer that refuses to be armed is waited for`() throws {
        try expectVerified(
            program(rearms: true) { timer, _ in _ = try? timer.close() })
    }
}
