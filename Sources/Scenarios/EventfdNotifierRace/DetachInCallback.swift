// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// A client that unregisters in its own release callback waits for itself, where `unregister`
/// always passes through the queue's lock: the first repair that comes to mind.
enum DetachInCallback {
    private static func program(_ world: ExploredWorld, _ locking: RepairedEventfd.Locking) {
        let kernel = EventfdKernel(world: world)
        let eventfd = RepairedEventfd(kernel: kernel, locking: locking)
        let context = kernel.makeContext()
        let notifier = kernel.makeNotifier(NotifierOperations(release: { eventfd.unregister($0) }))
        eventfd.register(context, notifier)
        // The file's reference keeps the context for as long as the callback runs under its lock.
        world.thread("closer") { eventfd.release(context) }
        world.afterwards { unsafe notifier.free() }
    }

    static let broken = Story(
        "detach-in-callback", text: EventfdNotifierRace.text, .broken,
        "detach from inside its own callback",
        expecting: .deadlock
    ) { program($0, .always) }

    static let repaired = Story(
        "detach-in-callback-repaired", text: EventfdNotifierRace.text, .repaired,
        "detach that knows its own callback"
    ) { program($0, .outsideCallbacks) }
}
