// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "It's also OK to requeue the work item on the same workqueue": if it ceased to be pending before
/// the call.
enum RequeueItself {
    static let broken = Story(
        "requeue-itself", text: WorkqueueSelfFree.text, .broken,
        "item requeues itself, is still pending",
        expecting: .expectation
    ) { world in
        let queue = KernelWorkqueue("wq", in: world, habit: .clearsPending)
        let device = KernelItem.allocate("dev") { device in
            let runs = device.pointee.started.load() + 1
            device.pointee.started.store(runs)
            if runs == 1 { queue.queue(device) }
        }
        world.thread("interrupt") { queue.queue(device) }
        world.afterwards {
            expect(
                device.pointee.started.load() == 2, "an item that requeued itself did not run again"
            )
            unsafe device.free()
        }
    }

    static let repaired = Story(
        "requeue-itself-repaired", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: item requeues itself"
    ) { world in
        let queue = WorkQueue(name: "queue")
        let device = Device { device in
            let isFirst = device.withObject { device in
                device.started.withValue { $0 += 1 }
                return device.started.load() == 1
            }
            if isFirst { expect(queue.enqueueReset(device.share()) == .queued) }
            // The next run waits for this one.
            device.withObject { device in device.finished.withValue { $0 += 1 } }
        }
        let table = DeviceTable(Reference(device))
        world.thread("interrupt") { if let device = table.find() { queue.enqueueReset(device) } }
        world.afterwards {
            expect(
                device.started.load() == 2 && device.finished.load() == 2,
                "a requeued item did not run again")
            table.remove()
        }
    }
}
