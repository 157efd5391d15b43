// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import TestSupport
import Testing

@testable import Quiesce

// Cancelling and disabling.
extension WorkRules {
    @Test func cancel_pending() throws {
        try verify("cancelled while pending") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (blocker, runs) = (Held(), Runs())
            let item = Work(name: "W") { runs.run() }
            _ = queue.enqueue { blocker.run() }
            _ = queue.enqueue(item)
            expect(item.cancel())
            blocker.release()
            world.afterwards { expect(runs.total == 0 && item.activity == []) }
        }
    }

    @Test func cancel_idle() {
        #expect(!Work {}.cancel())
    }

    @Test func cancel_running_does_not_wait() throws {
        try verify("cancelled while it runs") { world in
            let (_, item, held, runs) = startHeld()
            expect(!item.cancel())
            expect(runs.current == 1)
            held.release()
        }
    }

    @Test func cancel_sync_running() throws {
        try verify("cancelled while it runs, and waited for") { world in
            let (_, item, held, runs) = startHeld()
            world.thread("releaser") { held.release() }
            expect(sure { try item.cancelAndWait() } == false)
            expect(runs.total == 1 && runs.current == 0)
        }
    }

    @Test func cancel_sync_self_requeueing() throws {
        let queue = WorkQueue(name: "queue")
        let (item, runs) = (Later<Work>(), Runs())
        item.set(Work(name: "W") { runs.run { _ = queue.enqueue(item.value) } })
        _ = queue.enqueue(item.value)
        waitUntil { runs.total > 10 }
        try item.value.cancelAndWait()
        #expect(item.value.activity == [] && runs.current == 0)
        let total = runs.total
        try queue.close()
        #expect(runs.total == total)
    }

    @Test func queue_during_cancel_sync() throws {
        try verify("enqueued while it is cancelled") { world in
            let (queue, item, held, runs) = startHeld()
            let isCancelled = WaitPoint.Shared()
            world.thread("T2") {
                expect(sure { try item.cancelAndWait() } == false)
                isCancelled.advance(to: 1)
            }
            spin { !item.isDisabled }
            expect(queue.enqueue(item) == .disabled)
            held.release()
            isCancelled.wait(for: 1)
            expect(queue.enqueue(item) == .queued)
            world.afterwards { expect(runs.total == 2) }
        }
    }

    @Test func disable_enable() throws {
        let queue = WorkQueue(name: "queue")
        let runs = Runs()
        let item = Work(name: "W") { runs.run() }
        #expect(!item.disable())
        #expect(queue.enqueue(item) == .disabled)
        #expect(!item.disable())
        #expect(!item.enable())
        #expect(queue.enqueue(item) == .disabled)
        #expect(item.enable())
        #expect(queue.enqueue(item) == .queued)
        try queue.close()
        #expect(runs.total == 1)
    }

    @Test func disable_pending_cancels() throws {
        try verify("disabled while pending") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (blocker, runs) = (Held(), Runs())
            let item = Work(name: "W") { runs.run() }
            _ = queue.enqueue { blocker.run() }
            _ = queue.enqueue(item)
            expect(item.disable())
            blocker.release()
            world.afterwards { expect(runs.total == 0 && item.isDisabled) }
        }
    }

    @Test func disable_sync_waits() throws {
        try verify("disabled while it runs, and waited for") { world in
            let (queue, item, held, runs) = startHeld()
            world.thread("releaser") { held.release() }
            expect(sure { try item.close() } == false)
            expect(runs.total == 1 && runs.current == 0)
            expect(queue.enqueue(item) == .disabled)
        }
    }

    @Test func enable_does_not_queue() throws {
        try verify("disabled and enabled while pending") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (blocker, runs) = (Held(), Runs())
            let item = Work(name: "W") { runs.run() }
            _ = queue.enqueue { blocker.run() }
            _ = queue.enqueue(item)
            expect(item.disable())
            expect(item.enable())
            blocker.release()
            world.afterwards { expect(runs.total == 0) }
        }
    }

    @Test func disable_limit() {
        let item = Work {}
        for _ in 0..<65_535 { item.disable() }
        let misuses = Misuse.collecting { item.disable() }
        #expect(misuses.map(\.kind) == [.disabledTooOften])
        // As many as were counted.
        for _ in 1..<65_535 { item.enable() }
        #expect(item.isDisabled)
        #expect(item.enable() && !item.isDisabled)
    }

    @Test func enable_underflow() {
        let item = Work {}
        let misuses = Misuse.collecting { #expect(item.enable()) }
        #expect(misuses.map(\.kind) == [.enabledTooOften])
        #expect(!item.isDisabled)
    }

    @Test func out_of_cancel() throws {
        for isDisabling in [false, true] {
            let outcomes = Seen<Bool>()
            try verify("another path enqueues, \(isDisabling ? "disabled" : "cancelled")") {
                world in
                let queue = WorkQueue(name: "queue", .ordered)
                let isFreed = Atomic(false)
                let hasRunAfter = Atomic(false)
                let item = Work(name: "W") {
                    if isFreed.load(ordering: .relaxed) {
                        hasRunAfter.store(true, ordering: .relaxed)
                    }
                }
                world.thread("other path") { _ = queue.enqueue(item) }
                _ = sure { isDisabling ? try item.close() : try item.cancelAndWait() }
                isFreed.store(true, ordering: .relaxed)
                world.afterwards { outcomes.note(hasRunAfter.load(ordering: .relaxed)) }
            }
            #expect(outcomes.all == (isDisabling ? [false] : [true, false]))
        }
    }

    @Test func work_busy() throws {
        try verify("what it is doing") { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let (blocker, held) = (Held(), Held())
            let item = Work(name: "W") { held.run() }
            expect(item.activity == [])
            _ = queue.enqueue { blocker.run() }
            _ = queue.enqueue(item)
            expect(item.activity == .pending)
            blocker.release()
            held.waitUntilStarted()
            expect(item.activity == .running)
            _ = queue.enqueue(item)
            expect(item.activity == [.pending, .running])
            held.release()
        }
    }
}
