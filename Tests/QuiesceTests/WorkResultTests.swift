// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Quiesce
import Substrate
import Testing

/// Work whose caller wants what it returns, and closures that run later.
@Suite struct WorkResultTests {
    private struct Failure: Error, Equatable {}

    @Test func `a result comes back, and so does an error`() throws {
        let queue = WorkQueue(name: "queue")
        #expect(try queue.run { 6 * 7 } == 42)
        #expect(throws: Failure.self) { try queue.run { throw Failure() } }
        try queue.close()
        #expect(throws: QuiesceError.closed("queue")) { try queue.run { 1 } }
    }

    @Test func `a task gets a result, and an error`() async throws {
        let queue = WorkQueue(name: "queue")
        #expect(try await queue.run { 6 * 7 } == 42)
        await #expect(throws: Failure.self) { try await queue.run { throw Failure() } }
        try await queue.close()
        await #expect(throws: QuiesceError.closed("queue")) { try await queue.run { 1 } }
    }

    @Test func `an item that would wait for itself is refused, and leaves nothing behind`() throws {
        let queue = WorkQueue(name: "queue", .ordered)
        let ran = Atomic(false)
        let refusal: QuiesceError? = try queue.run(name: "outer") {
            do {
                try queue.run { ran.store(true, ordering: .relaxed) }
                return nil
            } catch { return error as? QuiesceError }
        }
        #expect(refusal == .inside(of: "queue", item: "outer"))
        try queue.close()
        let hasRun = ran.load(ordering: .relaxed)
        #expect(!hasRun, "what was refused ran all the same")
    }

    @Test func `a cancellation comes before a body or after it`() async throws {
        try await verifyTasks("cancel a run", granularity: .coarse) { _ in
            let queue = WorkQueue(name: "queue", .ordered)
            let runs = Atomic(0)
            let task = Task(name: "runner") {
                try await queue.run { runs.wrappingAdd(1, ordering: .relaxed) }
            }
            task.cancel()
            switch await task.result {
            case .success: expect(runs.load(ordering: .relaxed) == 1, "it did not run")
            case .failure(let error):
                expect(error is CancellationError, "\(error)")
                expect(runs.load(ordering: .relaxed) == 0, "it ran and was cancelled")
            }
            do { try await queue.close() } catch { expect(false, "\(error)") }
        }
    }

    @Test func `a result is there when the thread goes on`() throws {
        try verify("two run on one queue") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let count = Unsynchronized(0)
            for name in ["one", "two"] {
                world.thread(name) {
                    let found = try? queue.run {
                        count.withValue {
                            $0 += 1
                            return $0
                        }
                    }
                    expect(found == 1 || found == 2, "\(found as Any)")
                }
            }
            world.afterwards { expect(count.load() == 2) }
        }
    }

    @Test func `a closure runs after its delay`() throws {
        try verify("a delayed closure") { world in
            let queue = WorkQueue(name: "queue")
            let done = EventCounter()
            let start = WorldClock.now()
            _ = queue.enqueue(after: .seconds(3)) {
                expect(WorldClock.now() >= start + .seconds(3), "it ran too early")
                try? done.signal()
            }
            expect((try? done.take()) == 1)
            do { try queue.close() } catch { expect(false, "\(error)") }
        }
    }
}
