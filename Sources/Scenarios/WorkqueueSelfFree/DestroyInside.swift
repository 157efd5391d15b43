// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "destroy_workqueue() waits for all work items to finish before destroying the queue, which will
/// never happen if the request to destroy the queue came from one of its own work items."
enum DestroyInside {
    static let broken = Story(
        "destroy-inside", text: WorkqueueSelfFree.text, .broken, "item destroys its own queue",
        expecting: .deadlock
    ) { world in
        let queue = KernelWorkqueue("wq", in: world)
        let device = KernelItem.allocate("dev") { _ in
            world.note("destroy_workqueue")
            queue.destroy()
        }
        world.thread("driver") { queue.queue(device) }
        world.afterwards { unsafe device.free() }
    }

    static let repaired = Story(
        "destroy-inside-repaired", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: refuses, owner destroys it"
    ) { world in
        let queue = WorkQueue(name: "queue")
        let request = Request()
        world.thread("driver") {
            _ = queue.enqueue(
                Work(name: "item") {
                    expect(isRefused(queue), "an item was let destroy its own queue")
                    request.make()
                })
        }
        world.thread("owner") {
            request.wait()
            do { try queue.close() } catch { expect(false, "\(error)") }
            expect(
                queue.enqueue(name: "late") { expect(false, "an item ran after its queue's end") }
                    == .draining)
        }
    }

    private static func isRefused(_ queue: WorkQueue) -> Bool {
        do {
            try queue.close()
            return false
        } catch .inside(of: "queue", item: "item") {
            return true
        } catch {
            return false
        }
    }

    /// The wish that the queue be destroyed, to whom it belongs.
    private final class Request: Sendable {
        private let isMade = Atomic(false)
        private let made = WaitQueue(name: "request")

        init() { isMade.label("is requested") }

        func make() {
            isMade.store(true, ordering: .sequentiallyConsistent)
            made.wake()
        }

        func wait() { try? made.wait { isMade.load(ordering: .sequentiallyConsistent) } }
    }
}
