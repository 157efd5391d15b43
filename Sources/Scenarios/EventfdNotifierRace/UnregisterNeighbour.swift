// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// A callback unregisters another notifier of the same eventfd, which is next in the wait queue.
/// The thread holds the queue's lock as before; and the wake-up goes on, and must not reach what is
/// gone.
enum UnregisterNeighbour {
    private static func program(_ world: ExploredWorld, _ eventfd: some EventfdVersion) {
        let context = eventfd.kernel.makeContext()
        let client = Client()
        let second = eventfd.kernel.makeNotifier(
            NotifierOperations(signal: { _ in
                expect(!client.hasEndedSecond.load(), "a callback followed unregister")
            }), name: "second")
        let first = eventfd.kernel.makeNotifier(
            NotifierOperations(signal: { _ in
                eventfd.unregister(second)
                client.hasEndedSecond.store(true)
                unsafe second.free()
            }), name: "first")
        eventfd.register(context, first)
        eventfd.register(context, second)
        world.thread("signaller") { eventfd.kernel.signal(context) }
        world.thread("client") {
            eventfd.unregister(first)
            unsafe first.free()
        }
        world.afterwards {
            eventfd.release(context)
            if client.hasEndedSecond.load() { return }
            eventfd.unregister(second)
            unsafe second.free()
        }
    }

    private final class Client: Sendable {
        /// Protected by the queue's lock.
        let hasEndedSecond = Unsynchronized(false)

        init() { hasEndedSecond.label("has ended second") }
    }

    static let broken = Story(
        "unregister-neighbour", text: EventfdNotifierRace.text, .broken,
        "as published: unregister a neighbour",
        expecting: .deadlock
    ) { program($0, PatchedEventfd(kernel: EventfdKernel(world: $0))) }

    static let repaired = Story(
        "unregister-neighbour-repaired", text: EventfdNotifierRace.text, .repaired,
        "unregister a neighbour, under the lock"
    ) { program($0, RepairedEventfd(kernel: EventfdKernel(world: $0))) }
}
