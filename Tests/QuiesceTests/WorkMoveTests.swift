// SPDX-License-Identifier: Apache-2.0

import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// Items that move between queues: where they may be running is remembered for as long as they are.
@Suite struct WorkMoveTests {
    /// Enqueues the item on each queue in turn, where it does not start, and cancels it.
    private func move(_ item: Work, to queues: [WorkQueue]) {
        for _ in 0..<100 {
            for queue in queues {
                #expect(queue.enqueue(item) == .queued)
                #expect(item.cancel())
            }
        }
    }

    private func earlierHomes(of item: Work) -> Int { item.homes.withLock { $0.earlier.count } }

    @Test func `an item that moves to and fro while it runs remembers one queue`() throws {
        let (queue, item, held, runs) = startHeld()
        let (other, _, otherHeld, _) = startHeld()
        move(item, to: [other, queue])
        #expect(earlierHomes(of: item) == 0)
        move(item, to: [queue, other])
        #expect(earlierHomes(of: item) == 1)
        #expect(throws: QuiesceError.self) {
            try item.close(until: WorldClock.now() + .milliseconds(1))
        }
        held.release()
        try item.close()
        #expect(runs.total == 1 && runs.current == 0)
        otherHeld.release()
        try queue.close()
        try other.close()
    }

    @Test func `an item that runs on two queues remembers both`() throws {
        let (started, finish) = (EventCounter(isSemaphore: true), EventCounter(isSemaphore: true))
        let runs = Runs()
        let item = Work(name: "W") {
            runs.run {
                try? started.signal()
                _ = try? finish.take()
            }
        }
        let queues = (0..<3).map { WorkQueue(name: "queue \($0)", .ordered) }
        let (blocked, _, held, _) = startHeld()
        for queue in queues[..<2] {
            #expect(queue.enqueue(item) == .queued)
            _ = try started.take()
        }
        move(item, to: [queues[0], blocked, queues[1], blocked])
        #expect(earlierHomes(of: item) == 2)
        // One of the two runs ends.
        try finish.signal()
        waitUntil { runs.current == 1 }
        #expect(throws: QuiesceError.self) {
            try item.cancelAndWait(until: WorldClock.now() + .milliseconds(1))
        }
        try finish.signal()
        try item.close()
        #expect(runs.total == 2 && runs.current == 0)
        held.release()
        for queue in queues + [blocked] { try queue.close() }
    }

    @Test func `an item that moves on and on remembers no queue that it has left`() throws {
        let runs = Runs()
        let item = Work(name: "W") { runs.count() }
        for index in 0..<50 {
            let queue = WorkQueue(name: "queue \(index)")
            #expect(queue.enqueue(item) == .queued)
            try item.flush()
            try queue.close()
            #expect(earlierHomes(of: item) <= 1)
        }
        #expect(runs.total == 50)
    }
}
