// SPDX-License-Identifier: Apache-2.0

import Glibc
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// A forked child has none of the workers.
@Suite struct WorkForkTests {
    @Test func `a child that is forked from an item runs nothing of its parent's`() async {
        await #expect(processExitsWith: .success) {
            let queue = WorkQueue(name: "queue", .ordered)
            let runs = Atomic(0)
            let status = Atomic<Int32>(-1)
            _ = queue.enqueue {
                // Pending when the process is forked.
                _ = queue.enqueue { runs.add(1, ordering: .relaxed) }
                let child = forkedChild {
                    // It blocks, as far as the pool is told of it.
                    WorldClock.sleep(for: .milliseconds(50))
                    _exit(Int32(runs.load(ordering: .relaxed)))
                }
                status.store(child ?? -1, ordering: .relaxed)
            }
            try await queue.close()
            #expect(status.load(ordering: .relaxed) == 0 && runs.load(ordering: .relaxed) == 1)
        }
    }

    @Test func `a child finds nothing running, and is told that what is pending stayed behind`()
        async
    {
        await #expect(processExitsWith: .success) { try lookFromChild() }
    }
}

private func lookFromChild() throws {
    let (queue, item, held, _) = startHeld()
    let pending = Work(name: "pending") {}
    _ = queue.enqueue(pending)
    #expect(forkedChild { _ = try? item.close() } == 0)
    #expect(forkedChild { _ = try? item.flush() } == 0)
    #expect(forkedChild { precondition(item.activity == []) } == 0)
    #expect(forkedChild { precondition(item.identity != nil && !item.isDisabled) } == 0)
    let delayed = DelayedWork(name: "delayed") {}
    _ = queue.enqueue(delayed, after: .seconds(60))
    delayed.cancel()
    #expect(forkedChild { _ = try? delayed.flush() } == 0)
    // Each says so, and ends the process.
    #expect(forkedChild { pending.cancel() } == nil)
    #expect(forkedChild { _ = try? pending.flush() } == nil)
    #expect(forkedChild { _ = WorkQueue(name: "new").enqueue(pending) } == nil)
    #expect(forkedChild { _ = queue.enqueue {} } == nil)
    #expect(forkedChild { _ = queue.limit } == nil)
    // One that ran is another's from here on.
    let status = forkedChild {
        let new = WorkQueue(name: "new")
        precondition(new.enqueue(item) == .queued)
        held.release()
        precondition((try? new.close()) != nil)
    }
    #expect(status == 0)
    held.release()
    try queue.close()
}
