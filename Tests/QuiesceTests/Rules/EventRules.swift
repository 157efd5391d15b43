// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// What an eventfd does inside the kernel. The counter's file is a `Reference<EventCounter>`; its
/// context is the object.
@Suite("eventfd.kernel_signal") struct EventKernelRules {
    @Test func overflow() throws {
        let counter = EventCounter()
        #expect(try counter.tryAdd(18_446_744_073_709_551_614))
        try counter.signal()
        #expect(counter.readiness == [.readable, .overflown])
        #expect(counter.tryTake() == 18_446_744_073_709_551_615)
    }

    @Test func signal_saturates() throws {
        let counter = EventCounter()
        #expect(try counter.tryAdd(18_446_744_073_709_551_614))
        try counter.signal()
        try counter.signal()
        #expect(counter.tryTake() == 18_446_744_073_709_551_615)
    }

    @Test func blocking_semaphore_players() throws {
        let (first, second) = (EventCounter(isSemaphore: true), EventCounter(isSemaphore: true))
        @Sendable func play(_ mine: EventCounter, _ others: EventCounter) throws {
            for _ in 0..<2 {
                try mine.add(1)
                #expect(try others.take() == 1)
            }
            try mine.add(5)
            for _ in 0..<5 { #expect(try others.take() == 1) }
        }
        let player = try WorldThread.spawn {
            #expect(throws: Never.self) { try play(first, second) }
        }
        try play(second, first)
        player.join()
        #expect(first.value == 0 && second.value == 0)
    }

    @Test func fork_or_dup_shares_counter() throws {
        let original = Reference(EventCounter())
        let duplicate = original.share()
        #expect(try duplicate.withObject { try $0.tryAdd(3_735_928_559) })
        #expect(original.withObject { $0.tryTake() } == 3_735_928_559)
        // One descriptor of two is closed: the event goes on.
        duplicate.drop()
        #expect(original.withObject { $0.readiness } == [.writable])
    }

    @Test func close_sends_hup_to_waiters_while_context_ref_held() async throws {
        let context = EventCounter()
        let hangUps = Mutex(0)
        let notifier = try context.subscribe(
            onSignal: { _ in }, onClose: { _ in hangUps.withLock { $0 += 1 } })
        let waiter = Task { try await context.take() }
        Reference(context).drop()
        await #expect(throws: QuiesceError.closed("the event")) { try await waiter.value }
        #expect(hangUps.withLock { $0 } == 1 && !notifier.isOpen)
        #expect(context.value == 0, "the context lives")
    }

    @Test func context_freed_only_after_last_ctx_put() throws {
        weak var freed: EventCounter?
        do {
            let context = EventCounter()
            freed = context
            Reference(context).drop()
            try context.signal()
            #expect(context.value == 1)
        }
        #expect(freed == nil)
    }

    @Test func remove_wait_queue_returns_pending_count() throws {
        let counter = EventCounter()
        let calls = Mutex(0)
        let notifier = try counter.subscribe(onSignal: { _ in calls.withLock { $0 += 1 } })
        #expect(try counter.tryAdd(7))
        #expect(calls.withLock { $0 } == 1)
        #expect(try notifier.closeAndTake() == 7)
        #expect(try notifier.closeAndTake() == nil)
    }

    @Test func remove_wait_queue_wakes_writers() throws {
        let counter = EventCounter()
        let notifier = try counter.subscribe { _ in }
        #expect(try counter.tryAdd(18_446_744_073_709_551_614))
        let sleeper = Sleeper()
        let writer = try WorldThread.spawn {
            sleeper.announce()
            #expect(throws: Never.self) { try counter.add(1) }
        }
        sleeper.waitUntilAsleep()
        #expect(try notifier.closeAndTake() == 18_446_744_073_709_551_614)
        writer.join()
        #expect(counter.value == 1)
    }

    @Test func signal_from_own_wakeup_rejected() throws {
        let counter = EventCounter()
        let refusal = Mutex<QuiesceError?>(nil)
        let notifier = try counter.subscribe { _ in
            do throws(QuiesceError) { try counter.signal() } catch {
                refusal.withLock { $0 = error }
            }
        }
        try counter.signal()
        #expect(refusal.withLock { $0 } == .insideCallback)
        #expect(counter.value == 1)
        try notifier.close()
    }

    @Test func unregister_vs_hup_exactly_once() throws {
        let outcomes = Mutex(Set<Int>())
        try verify("unregister against hang-up") { world in
            let file = Handed(Reference(EventCounter()))
            let releases = Atomic(0)
            let returned = Atomic(false)
            let reference = file.take()
            let notifier = reference.withObject { counter in
                try! counter.subscribe(
                    onSignal: { _ in },
                    onClose: { _ in
                        expect(
                            !returned.load(ordering: .acquiring),
                            "a callback after unregister returned")
                        releases.wrappingAdd(1, ordering: .relaxed)
                    })
            }
            let closing = Handed(reference)
            world.thread("close") { closing.take().drop() }
            world.thread("unregister") {
                _ = try? notifier.close()
                returned.store(true, ordering: .releasing)
            }
            world.afterwards {
                let count = releases.load(ordering: .relaxed)
                outcomes.withLock { _ = $0.insert(count) }
            }
        }
        #expect(outcomes.withLock { $0 } == [0, 1])
    }

    @Test func hup_callback_detaches_under_lock() throws {
        let counter = EventCounter()
        let releases = Mutex(0)
        let notifier = try counter.subscribe(
            onSignal: { _ in }, onClose: { _ in releases.withLock { $0 += 1 } })
        counter.close()
        #expect(releases.withLock { $0 } == 1)
        #expect(try notifier.close() == false)
        #expect(releases.withLock { $0 } == 1)
    }
}

/// A consumer of an event that is taken down by its owner or by the hang-up, on a thread of its
/// own.
///
/// Not here:
/// - `shutdown_order`: of its six steps only detaching and the last reference exist; grace periods
///   and work queues come later.
@Suite("irqfd.decouple") struct IrqfdRules {
    /// What takes consumers down: one after the other, on one thread.
    private final class Cleanup: Sendable {
        private let pending = Mutex<[Consumer]>([])
        private let done = Atomic(0)
        private let queued = Atomic(0)
        private let completions = WaitQueue(name: "completions")

        init() {
            done.label("done")
            queued.label("queued")
        }

        /// Does not signal: it is called from inside a callback.
        func add(_ consumer: Consumer) {
            pending.withLock { $0.append(consumer) }
            queued.wrappingAdd(1, ordering: .sequentiallyConsistent)
            completions.wake()
        }

        /// Takes down so many.
        func run(_ count: Int = 1) {
            for _ in 0..<count {
                try? completions.wait {
                    queued.load(ordering: .sequentiallyConsistent)
                        > done.load(ordering: .sequentiallyConsistent)
                }
                pending.withLock { $0.removeFirst() }.shutDown()
                done.wrappingAdd(1, ordering: .sequentiallyConsistent)
                completions.wake()
            }
        }

        /// Waits for everything that was added before.
        func flush() {
            let target = queued.load(ordering: .sequentiallyConsistent)
            try? completions.wait { done.load(ordering: .sequentiallyConsistent) >= target }
        }
    }

    private final class Consumer: Sendable {
        let shutdowns = Atomic(0)
        private let isActive = Mutex(true)
        private let notifier = Mutex<Subscription?>(nil)
        private let cleanup: Cleanup

        init(_ counter: EventCounter, _ cleanup: Cleanup) {
            self.cleanup = cleanup
            isActive.label("active")
            shutdowns.label("shutdowns")
            let attached = try? counter.subscribe(
                onSignal: { _ in }, onClose: { [unowned self] _ in deactivate() })
            notifier.withLock { $0 = attached }
        }

        func deactivate() {
            // Both at once: a thread that finds it inactive and flushes waits for the shutdown.
            isActive.withLock { isActive in
                if isActive { cleanup.add(self) }
                isActive = false
            }
        }

        func deassign() {
            deactivate()
            cleanup.flush()
        }

        func shutDown() {
            expect(!CallbackScope.isActive, "shut down inside the wake-up")
            _ = try? notifier.withLock { $0.take() }?.close()
            shutdowns.wrappingAdd(1, ordering: .relaxed)
        }

        var count: Int { shutdowns.load(ordering: .relaxed) }
    }

    @Test func deassign_then_hup() throws {
        try verify("deassign, then hang-up") { world in
            let counter = EventCounter()
            let cleanup = Cleanup()
            let consumer = Consumer(counter, cleanup)
            world.thread("cleanup") { cleanup.run() }
            consumer.deassign()
            expect(consumer.count == 1)
            counter.close()
            world.afterwards { expect(consumer.count == 1) }
        }
    }

    @Test func hup_then_deassign() throws {
        try verify("hang-up, then deassign") { world in
            let counter = EventCounter()
            let cleanup = Cleanup()
            let consumer = Consumer(counter, cleanup)
            world.thread("cleanup") { cleanup.run() }
            counter.close()
            consumer.deassign()
            expect(consumer.count == 1, "deassign waits for the shutdown that the hang-up began")
        }
    }

    @Test func race() throws {
        try verify("deassign against hang-up") { world in
            let counter = EventCounter()
            let cleanup = Cleanup()
            let consumer = Consumer(counter, cleanup)
            world.thread("cleanup") { cleanup.run() }
            world.thread("close") { counter.close() }
            consumer.deassign()
            expect(consumer.count == 1)
            world.afterwards { expect(consumer.count == 1) }
        }
    }

    @Test func vm_release_waits() throws {
        try verify("release of three") { world in
            let cleanup = Cleanup()
            let consumers = (0..<3).map { _ in Consumer(EventCounter(), cleanup) }
            for consumer in consumers { consumer.deactivate() }
            world.thread("cleanup") { cleanup.run(3) }
            cleanup.flush()
            for consumer in consumers { expect(consumer.count == 1) }
        }
    }
}
