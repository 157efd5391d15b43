// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// An item frees itself while it runs, and the allocator gives its memory to another item. A queue
/// that tells items apart by their addresses takes the second for the first, and puts it off until
/// the first has ended, which waits for the second here.
enum RecycledAddress {
    private static func program(
        _ world: ExploredWorld, _ identity: KernelWorkqueue.Identity, _ secondFunction: String
    ) {
        let queue = KernelWorkqueue(
            "wq", in: world, workers: ["worker 1", "worker 2"], identity: identity)
        let first = KernelItem.allocate("first", function: "probe") { first in
            unsafe first.free()
            let second = KernelItem.allocate("second", function: secondFunction) { _ in }
            expect(second == first, "the allocator has no memory that was used before")
            queue.queue(second)
            queue.flush(second)
            unsafe second.free()
        }
        queue.queue(first)
    }

    static let broken = Story(
        "recycled-address", text: WorkqueueSelfFree.text, .broken,
        "address returns: taken for one that runs",
        expecting: .deadlock, reusesAddresses: true
    ) { program($0, .address, "load firmware") }

    static let asTheKernelDoes = Story(
        "recycled-address-kernel", text: WorkqueueSelfFree.text, .repaired,
        "address returns, with another function", reusesAddresses: true
    ) { program($0, .addressAndFunction, "load firmware") }

    static let repaired = Story(
        "recycled-address-repaired", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: identity, not address"
    ) { world in
        let queue = WorkQueue(name: "queue")
        // The queue lets go of the item before it calls the function, and so frees it. The
        // allocator gives the same memory to the second item.
        _ = queue.enqueue(Work(name: "first") { flushAnother(Work(name: "second") {}, on: queue) })
    }

    /// The same function, too: for Linux that is the same item still.
    static let sameFunction = Story(
        "recycled-function", text: WorkqueueSelfFree.text, .broken,
        "address and function return",
        expecting: .deadlock, reusesAddresses: true
    ) { program($0, .addressAndFunction, "probe") }

    static let sameFunctionRepaired = Story(
        "recycled-function-repaired", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: identity, not function"
    ) { world in
        let queue = WorkQueue(name: "queue")
        _ = queue.enqueue(probe(on: queue, Runs()))
    }

    private final class Runs: Sendable {
        let count = Atomic(0)

        init() { count.label("runs") }
    }

    /// An item whose function, the first time, waits for another item with the same function.
    private static func probe(on queue: WorkQueue, _ runs: Runs) -> Work {
        Work(name: "probe") {
            if runs.count.wrappingAdd(1, ordering: .relaxed).newValue == 1 {
                flushAnother(probe(on: queue, runs), on: queue)
            }
        }
    }

    private static func flushAnother(_ item: Work, on queue: WorkQueue) {
        expect(queue.enqueue(item) == .queued)
        do { try item.flush() } catch { expect(false, "\(error)") }
    }
}
