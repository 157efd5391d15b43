// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// `queue_work` on a queue that is being destroyed says true, and drops the item: the reference
/// that was taken before queueing belongs to nobody.
enum QueueWhileDestroying {
    static let broken = Story(
        "queue-while-destroying", text: WorkqueueSelfFree.text, .broken,
        "queue says true, and drops the item",
        expecting: .leak
    ) { world in
        let queue = KernelWorkqueue("wq", in: world)
        let device = KernelItem.allocate("dev") { $0.put() }
        // One reference is the interrupt's.
        device.get()
        world.thread("interrupt") { if !queue.queue(device) { device.put() } }
        world.thread("teardown") {
            queue.destroy()
            world.note("destroyed")
            device.put()
        }
    }

    static let repaired = Story(
        "queue-while-destroying-repaired", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: says so, gives reference back"
    ) { world in
        let queue = WorkQueue(name: "queue")
        let table = DeviceTable(Reference(Device { $0.drop() }))
        world.thread("interrupt") {
            guard let device = table.find() else { return }
            let answer = queue.enqueueReset(device)
            expect(answer == .queued || answer == .draining)
        }
        world.thread("teardown") {
            do { try queue.close() } catch { expect(false, "\(error)") }
            table.remove()
        }
    }
}
