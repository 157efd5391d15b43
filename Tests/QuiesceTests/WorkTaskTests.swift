// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// Tasks and actors that run on a work queue.
@Suite struct WorkTaskTests {
    private static func isOn(_ queue: WorkQueue) -> Bool { Worker.running?.queue === queue }

    @Test func `a task that prefers a queue runs on it, also after it was suspended`() async throws
    {
        let queue = WorkQueue(name: "queue", .concurrent(limit: 1))
        let (before, after) = await withTaskExecutorPreference(queue) {
            let before = Self.isOn(queue)
            await Task.yield()
            return (before, Self.isOn(queue))
        }
        #expect(before && after)
        #expect(!Self.isOn(queue))
        try await queue.close()
    }

    @Test func `a task inside a queue is refused what would wait for it`() async throws {
        let queue = WorkQueue(name: "queue")
        let found = await withTaskExecutorPreference(queue) {
            do { try await queue.flush() } catch { return error as? QuiesceError }
            return nil
        }
        #expect(found == .inside(of: "queue", item: WorkQueue.unnamed))
    }

    /// It would never end otherwise.
    @Test func `a task goes on on a queue that was closed meanwhile`() async throws {
        try await verifyTasks("close under a task", granularity: .coarse) { _ in
            let queue = WorkQueue(name: "queue", .ordered)
            let steps = Atomic(0)
            let task = Task(name: "worker", executorPreference: queue) {
                steps.add(1, ordering: .relaxed)
                await Task.yield()
                steps.add(1, ordering: .relaxed)
            }
            do { try await queue.close() } catch { expect(false, "\(error)") }
            await task.value
            expect(steps.load(ordering: .relaxed) == 2)
        }
    }

    @Test func `jobs and functions of an ordered queue exclude each other`() async throws {
        try await verifyTasks("jobs and functions", granularity: .coarse) { _ in
            let queue = WorkQueue(name: "queue", .ordered)
            let plain = Unsynchronized(0)
            let task = Task(name: "worker", executorPreference: queue) {
                plain.withValue { $0 += 1 }
            }
            _ = queue.enqueue { plain.withValue { $0 += 1 } }
            await task.value
            do { try await queue.close() } catch { expect(false, "\(error)") }
            expect(plain.load() == 2)
        }
    }

    // MARK: Actors

    private actor Account {
        private let executor: WorkQueueExecutor
        private let balance = Unsynchronized(0)

        init(_ queue: WorkQueue) { executor = WorkQueueExecutor(queue) }

        nonisolated var unownedExecutor: UnownedSerialExecutor {
            unsafe executor.asUnownedSerialExecutor()
        }

        func pay(_ amount: Int) async -> Int {
            balance.withValue { $0 += amount }
            await Task.yield()
            return balance.load()
        }

        func isOn(_ queue: WorkQueue) -> Bool { WorkTaskTests.isOn(queue) }
        func add(_ amount: Int) { balance.withValue { $0 += amount } }
        var total: Int { balance.load() }
    }

    @Test func `an actor runs on its queue`() async throws {
        let queue = WorkQueue(name: "queue", .ordered)
        let account = Account(queue)
        #expect(await account.isOn(queue))
        #expect(await account.pay(7) == 7)
    }

    @Test func `two actors of one queue and its functions exclude each other`() async throws {
        try await verifyTasks("an actor and an item", granularity: .coarse) { _ in
            let queue = WorkQueue(name: "queue", .ordered)
            let account = Account(queue)
            // An item of the queue is inside the actor.
            _ = queue.enqueue { account.assumeIsolated { $0.add(1) } }
            await account.add(2)
            do { try await queue.flush() } catch { expect(false, "\(error)") }
            let total = await account.total
            expect(total == 3)
        }
    }

    @Test func `an actor outlives the closing of its queue`() async throws {
        let queue = WorkQueue(name: "queue", .ordered)
        let account = Account(queue)
        try await queue.close()
        #expect(await account.pay(1) == 1)
    }

    @Test func `code elsewhere is not on an actor's queue`() async throws {
        let queue = WorkQueue(name: "queue", .ordered)
        let executor = WorkQueueExecutor(queue)
        #expect(executor.isIsolatingCurrentContext() == false)
        #expect(try await queue.run { executor.isIsolatingCurrentContext() } == true)
    }

    @Test func `an actor on a concurrent queue is refused`() async {
        await #expect(processExitsWith: .failure) {
            _ = WorkQueueExecutor(WorkQueue(name: "queue"))
        }
    }

    @Test func `code that is elsewhere cannot assume to be isolated`() async {
        await #expect(processExitsWith: .failure) {
            let account = Account(WorkQueue(name: "queue", .ordered))
            func assume() { account.assumeIsolated { $0.add(1) } }
            assume()
        }
    }
}
