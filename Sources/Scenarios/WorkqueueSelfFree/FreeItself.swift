// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "The work item's function could potentially free the entry that was pushed into the workqueue on
/// its behalf." The worker has one more use for the item after the call, unless it made a copy: the
/// lock validator must be told that the run is over.
enum FreeItself {
    private static func program(_ world: ExploredWorld, _ habit: KernelWorkqueue.Habit) {
        let queue = KernelWorkqueue("wq", in: world, habit: habit)
        let device = KernelItem.allocate("dev") { $0.put() }
        // One reference is the interrupt's, from here on.
        device.get()
        world.thread("interrupt") { if !queue.queue(device) { device.put() } }
        world.thread("closer") { device.put() }
    }

    static let broken = Story(
        "free-itself", text: WorkqueueSelfFree.text, .broken,
        "item frees itself, worker reads its map",
        expecting: .useAfterFree, orElse: [.race]
    ) { program($0, .readsLockMap) }

    static let asTheKernelDoes = Story(
        "free-itself-kernel", text: WorkqueueSelfFree.text, .repaired,
        "item frees itself, worker has copied it"
    ) { program($0, .copiesLockMap) }

    static let repaired = Story(
        "free-itself-repaired", text: WorkqueueSelfFree.text, .repaired,
        "WorkQueue: item frees itself"
    ) { world in
        let queue = WorkQueue(name: "queue")
        let table = DeviceTable(Reference(Device { $0.drop() }))
        world.thread("interrupt") {
            guard let device = table.find() else { return }
            let answer = queue.enqueueReset(device)
            expect(answer == .queued)
        }
        world.thread("closer") { table.remove() }
    }
}
