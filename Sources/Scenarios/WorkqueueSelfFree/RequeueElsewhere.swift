// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "… or on a different one": then nothing keeps the item from running beside itself. It does not
/// on one queue, and an author that is used to that protects nothing.
enum RequeueElsewhere {
    static let broken = Story(
        "requeue-elsewhere", text: WorkqueueSelfFree.text, .broken,
        "item requeues itself on another queue",
        expecting: .race
    ) { world in
        let fast = KernelWorkqueue("fast", in: world, workers: ["fast worker"])
        let slow = KernelWorkqueue("slow", in: world, workers: ["slow worker"])
        let device = KernelItem.allocate("dev") { device in
            let runs = device.pointee.started.load() + 1
            device.pointee.started.store(runs)
            if runs == 1 { slow.queue(device) }
            device.pointee.finished.withValue { $0 += 1 }
        }
        fast.queue(device)
        world.afterwards { unsafe device.free() }
    }

    private static func program(
        _ world: ExploredWorld, _ first: WorkQueue, _ second: WorkQueue,
        _ finish: @escaping @Sendable (Device) -> Void
    ) {
        let device = Device { device in
            let isFirst = device.withObject { device in
                device.started.withValue { $0 += 1 }
                return device.started.load() == 1
            }
            if isFirst { expect(second.enqueueReset(device.share()) == .queued) }
            device.withObject { finish($0) }
        }
        let table = DeviceTable(Reference(device))
        if let device = table.find() { first.enqueueReset(device) }
        world.afterwards {
            expect(device.finished.load() == 2, "a requeued item did not run again")
            table.remove()
        }
    }

    static let repaired = Story(
        "requeue-elsewhere-repaired", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: one queue for both runs"
    ) { world in
        let queue = WorkQueue(name: "queue")
        program(world, queue, queue) { device in device.finished.withValue { $0 += 1 } }
    }

    static let locked = Story(
        "requeue-elsewhere-locked", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: two queues and a lock"
    ) { world in
        let lock = DeviceLock()
        program(world, WorkQueue(name: "fast"), WorkQueue(name: "slow")) { device in
            lock.whileHeld { device.finished.withValue { $0 += 1 } }
        }
    }

    private final class DeviceLock: Sendable {
        private let lock = Mutex(())

        init() { lock.label("device lock") }

        func whileHeld(_ body: () -> Void) { lock.withLock { _ in body() } }
    }
}
