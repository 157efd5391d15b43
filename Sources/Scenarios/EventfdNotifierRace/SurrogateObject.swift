// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// What had been tried before the patch: a client that detaches leaves a part of itself with the
/// eventfd, which frees it at the end. That part's function is the client's code, and the client is
/// a module that can be unloaded.
enum SurrogateObject {
    /// The text of a loaded module: calling one of its functions reads it, unloading frees it.
    struct Module: ~Copyable, Sendable {
        let text = Unsynchronized(0)
    }

    private static func load() -> Storage<Module> {
        let module = Storage.allocate(Module(), name: "module")
        module.pointee.text.label("text")
        return module
    }

    static let broken = Story(
        "surrogate-object", text: EventfdNotifierRace.text, .broken,
        "surrogate object against module unload",
        expecting: .useAfterFree, orElse: [.race]
    ) { world in
        let kernel = EventfdKernel(world: world)
        let eventfd = OriginalEventfd(kernel: kernel)
        let module = load()
        let context = kernel.makeContext()
        let detached = Detachment()
        let surrogate = kernel.makeNotifier(
            NotifierOperations(release: { surrogate in
                _ = module.pointee.text.load()
                // The second of the two frees the surrogate.
                if detached.isSecond { unsafe surrogate.free() }
            }))
        eventfd.register(context, surrogate)
        world.thread("closer") { eventfd.release(context) }
        world.thread("rmmod") {
            // The client decouples without a race. It believes that it is done.
            if detached.isSecond { unsafe surrogate.free() }
            unsafe module.free()
        }
    }

    static let repaired = Story(
        "surrogate-object-repaired", text: EventfdNotifierRace.text, .repaired,
        "detach before unload, no surrogate"
    ) { world in
        let kernel = EventfdKernel(world: world)
        let eventfd = RepairedEventfd(kernel: kernel)
        let module = load()
        let context = kernel.makeContext()
        let notifier = kernel.makeNotifier(
            NotifierOperations(release: { _ in _ = module.pointee.text.load() }))
        eventfd.register(context, notifier)
        world.thread("closer") { eventfd.release(context) }
        world.thread("rmmod") {
            eventfd.unregister(notifier)
            unsafe notifier.free()
            unsafe module.free()
        }
    }

    /// The two halves of a surrogate: client and eventfd let go of it in either order.
    private final class Detachment: Sendable {
        private let halves = Atomic(2)

        init() { halves.label("halves") }

        var isSecond: Bool {
            halves.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0
        }
    }
}
