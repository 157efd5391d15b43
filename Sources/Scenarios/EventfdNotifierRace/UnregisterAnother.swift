// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// A callback unregisters a notifier of another eventfd, whose release callback runs elsewhere.
/// That the thread is inside a callback is no reason not to wait for that one.
enum UnregisterAnother {
    private static func program(_ world: ExploredWorld, _ eventfd: some EventfdVersion) {
        let kernel = eventfd.kernel
        let (one, other) = (kernel.makeContext(name: "one"), kernel.makeContext(name: "other"))
        let client = Storage.allocate(Client(), name: "client")
        client.pointee.releases.label("releases")
        let ending = kernel.makeNotifier(
            NotifierOperations(release: { _ in client.pointee.releases.withValue { $0 += 1 } }),
            name: "ending")
        let command = kernel.makeNotifier(
            NotifierOperations(signal: { _ in
                eventfd.unregister(ending)
                world.note("unregister returned")
                unsafe ending.free()
                unsafe client.free()
            }), name: "command")
        eventfd.register(one, command)
        eventfd.register(other, ending)
        world.thread("signaller") { kernel.signal(one) }
        world.thread("closer") { eventfd.release(other) }
        world.afterwards {
            eventfd.release(one)
            eventfd.unregister(command)
            unsafe command.free()
        }
    }

    static let broken = Story(
        "unregister-another", text: EventfdNotifierRace.text, .broken,
        "as published: callback ends another's",
        expecting: .useAfterFree, orElse: [.race]
    ) { program($0, PatchedEventfd(kernel: EventfdKernel(world: $0))) }

    static let repaired = Story(
        "unregister-another-repaired", text: EventfdNotifierRace.text, .repaired,
        "callback waits for another's callback"
    ) { program($0, RepairedEventfd(kernel: EventfdKernel(world: $0))) }

    /// What the release callback writes, and the client frees after `unregister`.
    struct Client: ~Copyable, Sendable {
        let releases = Unsynchronized(0)
    }
}
