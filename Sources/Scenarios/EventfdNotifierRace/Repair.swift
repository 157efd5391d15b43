// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// The repair with everybody at once: a signal, the hang-up, and a client that lets go and then is
/// no more.
enum Repair {
    static let everybodyAtOnce = Story(
        "repair", text: EventfdNotifierRace.text, .repaired, "detach waits for the callback"
    ) { world in
        let kernel = EventfdKernel(world: world)
        let eventfd = RepairedEventfd(kernel: kernel)
        let context = kernel.makeContext()
        let client = Storage.allocate(Client(), name: "client")
        client.pointee.signals.label("signals")
        client.pointee.releases.label("releases")
        let notifier = kernel.makeNotifier(
            NotifierOperations(
                signal: { _ in client.pointee.signals.withValue { $0 += 1 } },
                release: { _ in client.pointee.releases.withValue { $0 += 1 } }))
        // One reference is the signaller's.
        let file = EventFile(references: 2) { eventfd.release(context) }
        eventfd.register(context, notifier)
        world.thread("signaller") {
            kernel.signal(context)
            file.put()
        }
        world.thread("closer") { file.put() }
        world.thread("client") {
            eventfd.unregister(notifier)
            expect(client.pointee.releases.load() <= 1, "the end was told twice")
            unsafe notifier.free()
            unsafe client.free()
        }
    }

    /// What the callbacks write, and the client frees after `unregister`.
    struct Client: ~Copyable, Sendable {
        let signals = Unsynchronized(0)
        let releases = Unsynchronized(0)
    }
}
