// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// Functions that are waited for together.
@Suite struct WorkGroupTests {
    /// Members on two queues, one of which makes another member.
    static let together: Program = { world in
        let queues = [WorkQueue(name: "q1", .ordered), WorkQueue(name: "q2", .ordered)]
        let group = WorkGroup(name: "group")
        let done = Atomic(0)
        let plain = Unsynchronized(0)
        let answer = group.enqueue(on: queues[0]) {
            let more = group.enqueue(on: queues[1]) {
                plain.store(1)
                done.add(1, ordering: .relaxed)
            }
            expect(more == .queued)
            done.add(1, ordering: .relaxed)
        }
        expect(answer == .queued)
        sure { try group.wait() }
        expect(done.load(ordering: .relaxed) == 2, "the wait was over before its members")
        expect(plain.load() == 1)
        expect(group.isEmpty)
    }

    @Test func `a wait is over when all members are`() throws {
        try verify("group", granularity: .coarse, Self.together)
    }

    @Test func `a wait is over when all members are, step by step`() throws {
        try verify("group, finely", preemptions: 1, Self.together)
    }

    @Test(arguments: [
        Mutant(together, "WorkGroup.swift", "members.withLock { members in", .skipped),
        Mutant(waited, "Waiters.swift", "count.wrappingAdd(1, ordering", .skipped),
    ])
    func `a mutant is caught`(_ mutant: Mutant) throws { try expectCaught(mutant) }

    private static let waited: Program = { world in
        let queue = WorkQueue(name: "queue", .ordered)
        let group = WorkGroup(name: "group")
        _ = group.enqueue(on: queue) {}
        sure { try group.wait() }
    }

    @Test func `two wait for one group, a task and a thread`() async throws {
        try await verifyTasks("two waits", granularity: .coarse) { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let group = WorkGroup(name: "group")
            let done = Atomic(0)
            _ = group.enqueue(on: queue) { done.add(1, ordering: .relaxed) }
            world.thread("thread") {
                sure { try group.wait() }
                expect(done.load(ordering: .relaxed) == 1)
            }
            do { try await group.wait() } catch { expect(false, "\(error)") }
            expect(done.load(ordering: .relaxed) == 1)
        }
    }

    @Test func `a member cannot wait for its group`() throws {
        let queue = WorkQueue(name: "queue")
        let group = WorkGroup(name: "group")
        let found = Mutex<QuiesceError?>(nil)
        let answer = group.enqueue(on: queue, name: "member") {
            do throws(QuiesceError) { try group.wait() } catch { found.withLock { $0 = error } }
        }
        #expect(answer == .queued)
        try group.wait()
        #expect(found.withLock { $0 } == .inside(of: "group", item: "member"))
    }

    @Test func `a wait that is not over in time says who runs and how many do not yet`()
        async throws
    {
        let queue = WorkQueue(name: "queue", .ordered)
        let (group, held) = (WorkGroup(name: "group"), Held())
        _ = group.enqueue(on: queue, name: "slow") { held.run() }
        _ = group.enqueue(on: queue) {}
        held.waitUntilStarted()
        await #expect {
            try await group.wait(within: .zero)
        } throws: { error in
            guard case QuiesceError.timedOut("group", let occupants, 1) = error else {
                return false
            }
            return occupants.map(\.name) == ["slow"]
        }
        held.release()
        try await group.wait()
    }

    @Test func `a refused function is no member`() throws {
        let queue = WorkQueue(name: "queue")
        try queue.close()
        let group = WorkGroup()
        let answer = group.enqueue(on: queue) {}
        #expect(answer == .draining)
        #expect(group.isEmpty)
        try group.wait()
    }

    @Test func `a cancelled wait ends and leaves the group as it was`() async throws {
        let queue = WorkQueue(name: "queue", .ordered)
        let (group, held) = (WorkGroup(name: "group"), Held())
        _ = group.enqueue(on: queue) { held.run() }
        held.waitUntilStarted()
        let waiting = Task { try await group.wait() }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        #expect(!group.isEmpty)
        held.release()
        try await group.wait()
    }

    @Test func `a group is empty in a forked child`() throws {
        let queue = WorkQueue(name: "queue", .ordered)
        let (group, held) = (WorkGroup(name: "group"), Held())
        _ = group.enqueue(on: queue) { held.run() }
        held.waitUntilStarted()
        #expect(forkedChild { precondition(group.isEmpty) } == 0)
        #expect(forkedChild { try! group.wait() } == 0)
        held.release()
        try group.wait()
    }
}
