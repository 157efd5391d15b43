// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// As it was: the file goes away, without the lock, while a client lets go of it.
enum LocklessHangUp {
    static let broken = Story(
        "lockless-hang-up", text: EventfdNotifierRace.text, .broken, "hang-up without the lock",
        expecting: .useAfterFree, orElse: [.race]
    ) { world in
        let kernel = EventfdKernel(world: world)
        let eventfd = OriginalEventfd(kernel: kernel)
        let context = kernel.makeContext()
        let notifier = kernel.makeNotifier(NotifierOperations())
        eventfd.register(context, notifier)
        world.thread("closer") { eventfd.release(context) }
        world.thread("client") {
            eventfd.unregister(notifier)
            unsafe notifier.free()
        }
    }

    static let repaired = Story(
        "lockless-hang-up-repaired", text: EventfdNotifierRace.text, .repaired,
        "hang-up locked, references counted"
    ) { world in
        let kernel = EventfdKernel(world: world)
        let eventfd = RepairedEventfd(kernel: kernel)
        let context = kernel.makeContext()
        let notifier = kernel.makeNotifier(NotifierOperations())
        eventfd.register(context, notifier)
        world.thread("closer") { eventfd.release(context) }
        world.thread("client") {
            eventfd.unregister(notifier)
            unsafe notifier.free()
        }
    }
}
