// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "We must be careful to not use work after this": the trace point may record the item's address,
/// not look there. The function has told somebody that the item is done with, and he frees it.
enum FreedByWaiter {
    /// `struct completion`
    private final class Completion: Sendable {
        private let done = WaitPoint()

        init() { done.label("done") }

        func complete() {
            done.word.store(1, ordering: .releasing)
            done.wake()
        }

        func wait() {
            while done.word.load(ordering: .acquiring) == 0 { done.wait(while: 0) }
        }
    }

    static let broken = Story(
        "freed-by-waiter", text: WorkqueueSelfFree.text, .broken,
        "worker traces an item after its run",
        expecting: .useAfterFree, orElse: [.race]
    ) { world in
        let queue = KernelWorkqueue("wq", in: world, habit: .tracesFunction)
        let done = Completion()
        world.thread("driver") {
            let request = KernelItem.allocate("req") { _ in done.complete() }
            queue.queue(request)
            done.wait()
            unsafe request.free()
        }
    }

    static let repaired = Story(
        "freed-by-waiter-repaired", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: tracer is told no address"
    ) { world in
        let queue = WorkQueue(name: "queue", tracer: Tracer())
        let done = Completion()
        world.thread("driver") {
            let request = Storage.allocate(Request(), name: "req")
            request.pointee.result.label("result")
            let item = Work(name: "item") {
                request.pointee.result.store(1)
                done.complete()
            }
            _ = queue.enqueue(item)
            done.wait()
            expect(request.pointee.result.load() == 1)
            unsafe request.free()
        }
    }

    private struct Request: ~Copyable, Sendable {
        let result = Unsynchronized(0)
    }

    private struct Tracer: WorkTracer {
        func queued(_ event: WorkEvent) {}
        func started(_ event: WorkEvent) {}
        func ended(_ event: WorkEvent) { expect(event.name == "item" && event.ticket == 1) }
    }
}
