// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// A grace period that has no worker: Linux KVM irqfd.
@Suite struct NoWorkerLeft {
    private final class Lists: Sendable {
        let lock = Mutex(())
        init() { lock.label("lists") }
    }

    private func program(waitsUnderLock: Bool) -> (ExploredWorld) -> Void {
        { world in
            let lists = Lists()
            let queue = WorkQueue(name: "queue", .concurrent(limit: 2))
            let period = Work(name: "grace period") {}
            let first = Work(name: "first") {
                lists.lock.withLock { _ in
                    _ = queue.enqueue(period)
                    if waitsUnderLock { _ = try? period.flush() }
                }
                if !waitsUnderLock { _ = try? period.flush() }
            }
            let second = Work(name: "second") { lists.lock.withLock { _ in } }
            _ = queue.enqueue(first)
            _ = queue.enqueue(second)
            try? queue.close()
        }
    }

    @Test func `waiting under the lock that takes the last worker is a deadlock`() throws {
        try expectFound(
            .deadlock,
            shows: [
                "waits for grace period, which is in line on queue behind",
                "waits for lists, held by", "period.flush()",
            ], columns: ["worker 0", "worker 1"], program(waitsUnderLock: true))
    }

    @Test func `waiting outside is right`() throws {
        try expectVerified(executions: 20_000, program(waitsUnderLock: false))
    }
}
