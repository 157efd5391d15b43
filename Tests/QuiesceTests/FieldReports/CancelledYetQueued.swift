// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// Cancelled, and yet it runs: zephyrproject-rtos/zephyr #51872.
@Suite struct CancelledYetQueued {
    private struct Item: ~Copyable, Sendable {
        let isDelayed = Atomic(true)
        let data = Unsynchronized(7)
    }

    private final class Timer: Sendable {
        private let isArmed = Mutex(true)
        private let expiry = WaitPoint()
        private let queue = WorkQueue(name: "queue", .ordered)

        init() {
            isArmed.label("timer")
            expiry.label("expiry")
        }

        private func stop() -> Bool {
            isArmed.withLock { isArmed in
                defer { isArmed = false }
                return isArmed
            }
        }

        func expire(_ item: Storage<Item>) {
            guard stop() else { return }
            if item.pointee.isDelayed.exchange(false, ordering: .sequentiallyConsistent) {
                _ = queue.enqueue(name: "item") { _ = item.pointee.data.load() }
            }
            expiry.word.store(1, ordering: .releasing)
            expiry.wake()
        }

        /// Whether the item will not run any more.
        func cancel(_ item: Storage<Item>, asksTimer: Bool) -> Bool {
            if asksTimer { return stop() }
            guard item.pointee.isDelayed.exchange(false, ordering: .sequentiallyConsistent) else {
                return false
            }
            _ = stop()
            return true
        }

        func finish() {
            expiry.wait(while: 0)
            try? queue.flush()
        }
    }

    private func program(asksTimer: Bool) -> (ExploredWorld) -> Void {
        { world in
            let timer = Timer()
            let item = Storage.allocate(Item(), name: "item")
            item.pointee.isDelayed.label("isDelayed")
            item.pointee.data.label("data")
            world.thread("timer") { timer.expire(item) }
            world.thread("canceller") {
                if !timer.cancel(item, asksTimer: asksTimer) { timer.finish() }
                unsafe item.free()
            }
        }
    }

    @Test func `a timer that is off submits what was cancelled and freed`() throws {
        try expectFound(
            .useAfterFree,
            shows: ["canceller freed item", "item.isDelayed", "lock timer", "free item"],
            columns: ["timer", "canceller"], program(asksTimer: false))
    }

    @Test func `a cancellation succeeds only if it stopped the timer`() throws {
        try expectVerified(program(asksTimer: true))
    }
}
