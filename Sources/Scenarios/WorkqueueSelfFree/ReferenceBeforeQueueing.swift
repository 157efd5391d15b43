// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "I incremented a kref reference count before queuing a work item": but an item that is pending
/// already runs once for both, and drops one reference.
enum ReferenceBeforeQueueing {
    static let broken = Story(
        "get-before-queueing", text: WorkqueueSelfFree.text, .broken,
        "reference for an item already pending",
        expecting: .leak
    ) { world in
        let queue = KernelWorkqueue("wq", in: world)
        let device = KernelItem.allocate("dev") { $0.put() }
        for number in 1...2 {
            world.thread("interrupt \(number)") {
                device.get()
                if !queue.queue(device) { world.note("was pending") }
            }
        }
        world.afterwards { device.put() }
    }

    static let repaired = Story(
        "get-before-queueing-repaired", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: gives the reference back"
    ) { world in
        let queue = WorkQueue(name: "queue")
        let table = DeviceTable(Reference(Device { $0.drop() }))
        for number in 1...2 {
            world.thread("interrupt \(number)") {
                if let device = table.find() { queue.enqueueReset(device) }
            }
        }
        world.thread("closer") { table.remove() }
    }
}
