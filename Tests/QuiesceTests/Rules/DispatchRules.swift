// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// What Dispatch promises of its queues, as far as work queues do.
///
/// Not here:
/// - `group_notify_stress`: `WorkGroup` calls nothing when its items are over; a thread or task
///   that wants to know waits.
/// - `queue_finalizer`, `finalizer_not_called_for_null_context`, `context_for_key_destructor`: a
///   queue has no context. What its functions keep ends with them.
/// - `serial_target_serialises`, and of `width_hierarchy` the hierarchy: a queue has a limit of its
///   own, and no target.
/// - `suspend_resume`, `release_suspended_queue`: a queue cannot be suspended; items can be
///   disabled.
/// - `fd_closed_only_in_cancel_handler`: it is about sources, for which there is `EventFD`.
/// - `semaphore_dispose_below_initial`: there are no semaphores but an `EventCounter`, which may
///   end with any value.
@Suite("libdispatch") struct DispatchRules {
    @Test func group_100_queues() throws {
        let queues = (0..<100).map {
            WorkQueue(name: "queue \($0)", $0 % 2 == 0 ? .ordered : .concurrent())
        }
        for _ in 0..<2 {
            let (released, runs) = (WaitPoint.Shared(), Runs())
            for queue in queues { _ = queue.enqueue { runs.run { released.wait(for: 1) } } }
            waitUntil { runs.current == 100 }
            released.advance(to: 1)
            for queue in queues { try queue.flush() }
            #expect(runs.total == 100 && runs.current == 0)
        }
        for queue in queues { try queue.close() }
    }

    @Test func group_wait_timeout_then_ok() throws {
        try verifyInTime("waits twice", executions: 300) { world in
            let queue = WorkQueue(name: "queue")
            for name in ["one", "two", "three"] {
                _ = queue.enqueue(name: name) { WorldClock.sleep(for: .seconds(7)) }
            }
            do throws(QuiesceError) {
                try queue.flush(until: WorldClock.now() + .seconds(5))
                expect(false, "it was in time")
            } catch {
                guard case .timedOut(_, let running, let pending) = error else {
                    return expect(false, "\(error)")
                }
                expect(
                    running.map(\.name).sorted() == ["one", "three", "two"] && pending == 0,
                    "\(error)")
                expect(running.allSatisfy { $0.duration == .seconds(5) }, "\(error)")
            }
            sure { try queue.flush(until: WorldClock.now() + .seconds(5)) }
        }
    }

    /// Of what begins while somebody waits it is known when that was; of what ran before, that it
    /// did.
    @Test func `a deadline that passes tells since when what runs does so`() throws {
        try verifyInTime("waits for one of two", executions: 300) { world in
            let queue = WorkQueue(name: "queue", .ordered)
            for name in ["one", "two", "three"] {
                _ = queue.enqueue(name: name) { WorldClock.sleep(for: .seconds(4)) }
            }
            let start = WorldClock.now()
            let expected = [
                // It may begin before the wait does, or after.
                (
                    1,
                    [
                        "one, for more than 1.0 seconds; 2 pending",
                        "one, for 1.0 seconds; 2 pending",
                    ]
                ),
                (6, ["two, for 2.0 seconds; 1 pending"]),
            ]
            for (deadline, endings) in expected {
                do throws(QuiesceError) {
                    try queue.flush(until: start + .seconds(deadline))
                    expect(false, "it was in time")
                } catch {
                    let beginning = "the wait for queue was not over in time: "
                    expect(endings.contains { error.description == beginning + $0 }, "\(error)")
                }
            }
        }
    }

    @Test func `what follows its own run is pending`() throws {
        let queue = WorkQueue(name: "queue", .concurrent(limit: 2))
        let held = Held()
        let item = Work(name: "W") { held.run() }
        _ = queue.enqueue(item)
        held.waitUntilStarted()
        _ = queue.enqueue(item)
        // Another worker has seen that it runs.
        waitUntil { queue.serving.withLock { $0.servers.contains { unsafe $0.following != nil } } }
        let error = #expect(throws: QuiesceError.self) { try queue.flush(until: WorldClock.now()) }
        guard case .timedOut(_, let running, let pending) = error else { throw try #require(error) }
        #expect(running.map(\.name) == ["W"] && pending == 1)
        held.release()
        try queue.close()
    }

    @Test func `a tracer that waits for the item it is told of is refused`() throws {
        final class Waiting: WorkTracer {
            let item = Later<Work>()
            let errors = Mutex<[String]>([])

            func queued(_ event: WorkEvent) {}
            func started(_ event: WorkEvent) { wait() }
            func ended(_ event: WorkEvent) { wait() }

            private func wait() {
                do { try item.value.close() } catch {
                    errors.withLock { $0.append("\(error)") }
                }
            }
        }
        let tracer = Waiting()
        let queue = WorkQueue(name: "queue", tracer: tracer)
        tracer.item.set(Work(name: "W") {})
        _ = queue.enqueue(tracer.item.value)
        try queue.close()
        let errors = tracer.errors.withLock { $0 }
        #expect(
            errors
                == Array(
                    repeating: "W, which runs on queue, would wait for itself to end", count: 2))
        #expect(!tracer.item.value.isDisabled)
    }

    @Test func width_hierarchy() throws {
        for limit in 1...4 {
            let queue = WorkQueue(name: "queue", limit == 1 ? .ordered : .concurrent(limit: limit))
            let (runs, released) = (Runs(), WaitPoint.Shared())
            for _ in 0..<16 { _ = queue.enqueue { runs.run { released.wait(for: 1) } } }
            waitUntil { runs.current == limit }
            released.advance(to: 1)
            try queue.close()
            #expect(runs.total == 16 && runs.most == limit)
        }
    }

    @Test func sync_on_own_serial_queue() throws {
        let queue = WorkQueue(name: "queue", .ordered)
        let refusals = Runs("refusals")
        let pending = Work(name: "pending") {}
        _ = queue.enqueue(name: "item") {
            _ = queue.enqueue(pending)
            let waits: [() throws -> Void] = [
                { try queue.flush() }, { try queue.drain() }, { try queue.close() },
                { try pending.flush() },
            ]
            for wait in waits {
                do { try wait() } catch {
                    if case .inside(of: "queue", item: "item")? = error as? QuiesceError {
                        refusals.count()
                    }
                }
            }
        }
        try queue.close()
        #expect(refusals.total == 4)
    }

    @Test func after_ordering() throws {
        try verifyInTime("three delays") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let timeline = Timeline()
            for seconds in [2, 1, 0] {
                let item = DelayedWork(name: "after \(seconds)") {
                    timeline.note("after \(seconds)")
                }
                _ = queue.enqueue(item, after: .seconds(seconds))
            }
            WorldClock.sleep(for: .seconds(3))
            let found = timeline.all.map(\.description)
            expect(found == ["0 after 0", "1000 after 1", "2000 after 2"], "\(found)")
        }
    }

    /// What a cancel handler is for: the reference that the item was enqueued with is given back,
    /// once.
    @Test func timer_cancel_handler_once() throws {
        try verifyInTime("cancelled three times") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (releases, cancelled) = (Runs("releases"), Runs("cancelled"))
            let owner = Reference(Owner(releases))
            let item = owner.withObject { $0.work }
            let answer = queue.enqueue(item, owner, after: .seconds(1)).answer
            expect(answer == .queued)
            world.thread("other") { if item.cancel() { cancelled.count() } }
            for _ in 0..<2 { if item.cancel() { cancelled.count() } }
            world.afterwards { expect(cancelled.total == 1 && releases.total == 1) }
        }
    }

    private final class Owner: ReferenceCounted {
        let referenceCount = ReferenceCount()
        let work = ObjectWork<Owner>(name: "work") { $0.drop() }
        let releases: Runs

        init(_ releases: Runs) { self.releases = releases }

        func release() { releases.count() }
    }

    /// Items that go from queue to queue; each queue runs what it was given in order.
    @Test func cascade_starfish_pingpong() throws {
        let course = Course(queues: 10, hops: 10_000)
        course.start(items: 20)
        course.finished.wait(for: 20)
        #expect(course.outOfOrder.total == 0, "an ordered queue ran something out of order")
        #expect(course.hops.total == 10_000)
    }

    private final class Course: Sendable {
        /// A queue whose every enqueueing is numbered, together with it.
        private final class Station: Sendable {
            let queue: WorkQueue
            private let given = Mutex(0)
            private let run = Mutex(0)

            init(_ number: Int) {
                queue = WorkQueue(
                    name: "queue \(number)", .ordered, priority: number % 2 == 0 ? .normal : .high)
            }

            func enqueue(_ body: @escaping @Sendable (_ isInOrder: Bool) -> Void) {
                given.withLock { given in
                    let number = given
                    given += 1
                    _ = queue.enqueue { [self] in
                        body(
                            run.withLock { run in
                                defer { run += 1 }
                                return run == number
                            })
                    }
                }
            }
        }

        let outOfOrder = Runs("out of order")
        let hops = Runs("hops")
        let finished = WaitPoint.Shared()
        private let stations: [Station]
        private let hopLimit: Int
        private let arrivals = Mutex<UInt32>(0)

        init(queues: Int, hops: Int) {
            stations = (0..<queues).map(Station.init)
            hopLimit = hops
        }

        func start(items: Int) {
            for item in 0..<items { hop(item, left: hopLimit / items) }
        }

        private func hop(_ item: Int, left: Int) {
            guard left > 0 else {
                let arrived = arrivals.withLock { arrivals in
                    arrivals += 1
                    return arrivals
                }
                return finished.advance(to: arrived)
            }
            // Each takes another way, and they meet everywhere.
            let next = stations[(item + left * (item % 3 + 1)) % stations.count]
            next.enqueue { [self] isInOrder in
                hops.count()
                if !isInOrder { outOfOrder.count() }
                hop(item, left: left - 1)
            }
        }
    }
}
