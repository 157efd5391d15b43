// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// A client that has heard enough unregisters in its signal callback. The callback runs under the
/// queue's lock, which `unregister` of the published patch takes: the thread waits for itself.
enum UnregisterInSignal {
    private static func program(_ world: ExploredWorld, _ eventfd: some EventfdVersion) {
        let context = eventfd.kernel.makeContext()
        let notifier = eventfd.kernel.makeNotifier(
            NotifierOperations(
                signal: { notifier in
                    eventfd.unregister(notifier)
                    unsafe notifier.free()
                },
                release: { _ in expect(false, "a callback followed unregister") }))
        eventfd.register(context, notifier)
        for name in ["signaller", "another signaller"] {
            world.thread(name) { eventfd.kernel.signal(context) }
        }
        world.afterwards { eventfd.release(context) }
    }

    static let broken = Story(
        "unregister-in-signal", text: EventfdNotifierRace.text, .broken,
        "as published: unregister in signal",
        expecting: .deadlock
    ) { program($0, PatchedEventfd(kernel: EventfdKernel(world: $0))) }

    static let repaired = Story(
        "unregister-in-signal-repaired", text: EventfdNotifierRace.text, .repaired,
        "unregister in the signal callback"
    ) { program($0, RepairedEventfd(kernel: EventfdKernel(world: $0))) }
}
