// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// The patch exactly as published. Two questions: does `unregister` return while `release` still
/// runs, and is a registration visible before its reference is taken?
enum PublishedPatch {
    /// `unregister` that finds the bit cleared returns at once: the hang-up's callback is still
    /// running on what the client frees next.
    static let hangUpAgainstUnregister = Story(
        "published-patch", text: EventfdNotifierRace.text, .broken,
        "as published: hang-up against unregister",
        expecting: .useAfterFree, orElse: [.race]
    ) { world in
        let kernel = EventfdKernel(world: world)
        let eventfd = PatchedEventfd(kernel: kernel)
        let context = kernel.makeContext()
        let notifier = kernel.makeNotifier(
            NotifierOperations(release: { _ in world.note("release callback runs") }))
        eventfd.register(context, notifier)
        world.thread("closer") { eventfd.release(context) }
        world.thread("client") {
            eventfd.unregister(notifier)
            world.note("unregister returned")
            unsafe notifier.free()
        }
    }

    /// The entry is on the queue before the reference is taken: where the caller of `register` does
    /// not hold the file, the hang-up can come between, passes over the inactive entry, and frees
    /// the context under the registration.
    static let closeDuringRegister = Story(
        "published-patch-register", text: EventfdNotifierRace.text, .broken,
        "as published: close during register",
        expecting: .useAfterFree, orElse: [.race, .leak]
    ) { world in
        let kernel = EventfdKernel(world: world)
        let eventfd = PatchedEventfd(kernel: kernel)
        let context = kernel.makeContext()
        let notifier = kernel.makeNotifier(NotifierOperations())
        world.thread("closer") { eventfd.release(context) }
        world.thread("client") { eventfd.register(context, notifier) }
        world.afterwards { unsafe notifier.free() }
    }

    /// What the patch does get right: as long as the file stays, no callback follows `unregister`.
    static let signalAgainstUnregister = Story(
        "published-patch-signal", text: EventfdNotifierRace.text, .repaired,
        "as published: signal against unregister"
    ) { world in
        let kernel = EventfdKernel(world: world)
        let eventfd = PatchedEventfd(kernel: kernel)
        let context = kernel.makeContext()
        let notifier = kernel.makeNotifier(NotifierOperations())
        eventfd.register(context, notifier)
        world.thread("signaller") { kernel.signal(context) }
        world.thread("client") {
            eventfd.unregister(notifier)
            unsafe notifier.free()
        }
        world.afterwards { eventfd.release(context) }
    }
}
