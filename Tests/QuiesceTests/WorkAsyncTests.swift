// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// The waits of tasks for work.
@Suite struct WorkAsyncTests {
    /// An item that runs until it is let go on.
    private final class Held: Sendable {
        let queue: WorkQueue
        let work: Work
        private let started = WaitPoint.Shared()
        private let ending = WaitPoint.Shared()
        private let runs: Runs

        init(_ kind: WorkQueue.Kind = .concurrent()) {
            let runs = Runs()
            let (started, ending) = (started, ending)
            self.runs = runs
            queue = WorkQueue(name: "queue", kind)
            work = Work(name: "held") {
                started.advance(to: 1)
                ending.wait(for: 1)
                runs.count()
            }
        }

        func start() {
            _ = queue.enqueue(work)
            started.wait(for: 1)
        }

        func letGo() { ending.advance(to: 1) }

        var ended: Int { runs.total }

        var isAwaited: Bool { !queue.serving.withLock { $0.awaited.isEmpty } }

        func untilAwaited() async { while !isAwaited { await Task.yield() } }
    }

    /// What a task can wait for while the item runs.
    enum Wait: CaseIterable {
        case flushQueue, flushItem, cancelAndWait, disableAndWait, drain, destroy
    }

    private static func perform(
        _ wait: Wait, _ queue: WorkQueue, _ work: Work, until deadline: WorldClock.Instant? = nil
    ) async throws {
        switch wait {
        case .flushQueue: try await queue.flush(until: deadline)
        case .flushItem: _ = try await work.flush(until: deadline)
        case .cancelAndWait: try await work.cancelAndWait(until: deadline)
        case .disableAndWait: try await work.close(until: deadline)
        case .drain: try await queue.drain(until: deadline)
        case .destroy: try await queue.close(until: deadline)
        }
    }

    private func perform(_ wait: Wait, _ held: Held, until deadline: WorldClock.Instant? = nil)
        async throws
    {
        try await Self.perform(wait, held.queue, held.work, until: deadline)
    }

    // MARK: Explored

    private static func enqueued() -> (queue: WorkQueue, item: Work, runs: Runs) {
        let queue = WorkQueue(name: "queue", .ordered)
        let runs = Runs()
        let item = Work(name: "item") { runs.run() }
        _ = queue.enqueue(item)
        return (queue, item, runs)
    }

    @Test(arguments: Wait.allCases) func `in every interleaving a task goes on when it is over`(
        _ wait: Wait
    )
        async throws
    {
        let report = try await verifyTasks("waits for an item", granularity: .coarse) { world in
            let (queue, item, runs) = Self.enqueued()
            try await Self.perform(wait, queue, item)
            let total = runs.total
            switch wait {
            case .cancelAndWait, .disableAndWait: expect(total <= 1)
            default: expect(total == 1)
            }
            expect(runs.current == 0 && item.activity == [])
            world.afterwards { expect(runs.total == total, "it ran after the wait") }
        }
        #expect(report.executions > 1)
    }

    @Test(arguments: Wait.allCases) func `in every interleaving a task that is cancelled leaves`(
        _ wait: Wait
    )
        async throws
    {
        let report = try await verifyTasks(
            "waits for an item and is cancelled", granularity: .coarse
        ) { world in
            let (queue, item, runs) = Self.enqueued()
            let waiter = Task {
                do {
                    try await Self.perform(wait, queue, item)
                    expect(runs.current == 0)
                } catch { expect(error is CancellationError, "\(error)") }
            }
            waiter.cancel()
            await waiter.value
            expect(!queue.isAwaited, "it is still in the line")
        }
        #expect(report.executions > 1)
    }

    // MARK: On real threads

    @Test(arguments: Wait.allCases) func `a task waits until the function has returned`(
        _ wait: Wait
    ) async throws {
        let held = Held()
        held.start()
        let waiter = Task {
            try await perform(wait, held)
            return held.ended
        }
        await held.untilAwaited()
        #expect(held.ended == 0)
        held.letGo()
        #expect(try await waiter.value == 1, "the wait was over before the function")
        #expect(!held.isAwaited)
        let answer = held.queue.enqueue(held.work)
        switch wait {
        case .disableAndWait, .destroy: #expect(answer != .queued)
        default: #expect(answer == .queued)
        }
        try await held.queue.close()
    }

    @Test(arguments: Wait.allCases) func `a task that is cancelled leaves the line`(_ wait: Wait)
        async throws
    {
        let held = Held()
        held.start()
        let waiter = Task { try await perform(wait, held) }
        await held.untilAwaited()
        waiter.cancel()
        await #expect(throws: CancellationError.self) { try await waiter.value }
        #expect(held.queue.serving.withLock { $0.awaited.isEmpty }, "it is still in the line")
        // Cancelling was undone, draining as well; the others go on.
        let answer = held.queue.enqueue(held.work)
        switch wait {
        case .disableAndWait: #expect(answer == .disabled)
        case .destroy: #expect(answer == .draining)
        default: #expect(answer == .queued)
        }
        held.letGo()
        try await held.queue.close()
        #expect(held.ended == (answer == .queued ? 2 : 1))
    }

    @Test(arguments: Wait.allCases) func `a task's deadline passes, and it leaves the line`(
        _ wait: Wait
    ) async throws {
        let held = Held()
        held.start()
        let error = await #expect(throws: QuiesceError.self) {
            try await perform(wait, held, until: WorldClock.now())
        }
        guard case .timedOut(of: "queue", let running, pending: 0) = error else {
            throw try #require(error)
        }
        #expect(running.map(\.name) == ["held"] && running.allSatisfy { !$0.isExact })
        #expect(held.queue.serving.withLock { $0.awaited.isEmpty }, "it is still in the line")
        held.letGo()
        try await held.queue.close()
        #expect(held.ended == 1)
    }

    @Test(arguments: Wait.allCases) func `a task that is cancelled already does not wait`(
        _ wait: Wait
    ) async throws {
        let held = Held()
        held.start()
        let waiter = Task {
            while !Task.isCancelled { await Task.yield() }
            try await perform(wait, held)
        }
        waiter.cancel()
        await #expect(throws: CancellationError.self) { try await waiter.value }
        #expect(held.queue.serving.withLock { $0.awaited.isEmpty }, "it is still in the line")
        held.letGo()
        try await held.queue.close()
    }

    @Test func `cancelling and flushing what is pending`() async throws {
        let held = Held(.ordered)
        held.start()
        let runs = Runs()
        let next = Work(name: "next") { runs.count() }
        _ = held.queue.enqueue(next)
        // It waits for nothing: the item does not run.
        #expect(try await next.cancelAndWait())
        #expect(held.queue.enqueue(next) == .queued)
        #expect(try await next.close())
        next.enable()
        #expect(held.queue.enqueue(next) == .queued)
        let waiter = Task { try await next.flush() }
        await held.untilAwaited()
        held.letGo()
        #expect(try await waiter.value)
        #expect(runs.total == 1)
        #expect(try await !next.flush())
        try await held.queue.close()
    }

    @Test func `a flush of a task ends when what it waits for is cancelled`() async throws {
        let held = Held(.ordered)
        held.start()
        let next = Work(name: "next") { Issue.record("it was cancelled") }
        _ = held.queue.enqueue(next)
        let waiter = Task { try await next.flush() }
        await held.untilAwaited()
        #expect(next.cancel())
        #expect(try await waiter.value)
        held.letGo()
        try await held.queue.close()
    }

    @Test func `a flush of a task ends the wait of a timer`() async throws {
        let queue = WorkQueue(name: "queue")
        let runs = Runs()
        let item = DelayedWork(name: "item") { runs.count() }
        _ = queue.enqueue(item, after: .seconds(3600))
        _ = try await item.flush()
        #expect(runs.total == 1)
        _ = queue.enqueue(item, after: .seconds(3600))
        try await queue.close()
        #expect(runs.total == 2)
    }

    @Test func `several tasks destroy a queue, and all wait`() async throws {
        let held = Held()
        held.start()
        let waiters = (0..<4).map { _ in
            Task {
                try await held.queue.close()
                return held.ended
            }
        }
        while held.queue.serving.withLock({ $0.awaited.count }) < 4 { await Task.yield() }
        held.letGo()
        for waiter in waiters { #expect(try await waiter.value == 1) }
    }

    @Test func `a drain of a task lets a chain go on, and nobody else`() async throws {
        let held = Held()
        let chain = Work(name: "chain") {
            _ = held.queue.enqueue(name: "second") { _ = held.queue.enqueue(held.work) }
        }
        _ = held.queue.enqueue(chain)
        held.start()
        let waiter = Task { try await held.queue.drain() }
        await held.untilAwaited()
        #expect(held.queue.enqueue(name: "stranger") {} == .draining)
        held.letGo()
        try await waiter.value
        #expect(held.ended >= 1)
        #expect(held.queue.enqueue(name: "stranger") {} == .queued)
        try await held.queue.close()
    }
}
