// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// An item requeues itself and then drops its reference, "just before returning". The reference was
/// for one run: the next has none, and its item may be freed while it is pending.
enum RequeueAndDrop {
    private static func program(_ world: ExploredWorld, takesReference: Bool) {
        let queue = KernelWorkqueue("wq", in: world)
        let device = KernelItem.allocate("dev") { device in
            device.pointee.started.withValue { $0 += 1 }
            if device.pointee.started.load() == 1 {
                if takesReference { device.get() }
                // One that is pending already has its reference.
                if !queue.queue(device), takesReference { device.put() }
            }
            device.put()
        }
        // One reference is the interrupt's.
        device.get()
        world.thread("closer") { device.put() }
        world.thread("interrupt") { if !queue.queue(device) { device.put() } }
    }

    static let broken = Story(
        "requeue-and-drop", text: WorkqueueSelfFree.text, .broken,
        "item requeues itself, drops reference",
        expecting: .useAfterFree, orElse: [.race]
    ) { program($0, takesReference: false) }

    static let asTheKernelAllows = Story(
        "requeue-and-drop-kernel", text: WorkqueueSelfFree.text, .repaired,
        "item takes a reference to requeue itself"
    ) { program($0, takesReference: true) }

    static let repaired = Story(
        "requeue-and-drop-repaired", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: requeueing takes a reference"
    ) { world in
        let queue = WorkQueue(name: "queue")
        let device = Device { device in
            let isFirst = device.withObject { device in
                device.started.withValue { $0 += 1 }
                return device.started.load() == 1
            }
            if isFirst { expect(queue.enqueueReset(device.share()) == .queued) }
            device.drop()
        }
        let table = DeviceTable(Reference(device))
        world.thread("interrupt") { if let device = table.find() { queue.enqueueReset(device) } }
        world.thread("closer") { table.remove() }
    }
}
