// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

/// "Clients that previously assumed the release could sleep will need to be refactored": it runs
/// under the queue's lock now.
enum SleepingRelease {
    /// What the client protects by a lock that it also holds while it signals.
    private final class Client: Sendable {
        let lock = Mutex(())
        let isEnding = WaitPoint()
        let isGone = Unsynchronized(false)

        init() {
            lock.label("client.lock")
            isEnding.label("client.isEnding")
            isGone.label("client.isGone")
        }

        func end() {
            lock.lock()
            isGone.store(true)
            lock.unlock()
        }
    }

    private static func program(
        _ world: ExploredWorld, _ release: @escaping @Sendable (Client) -> Void,
        _ cleanUp: @escaping @Sendable (Client) -> Void
    ) {
        let kernel = EventfdKernel(world: world)
        let eventfd = RepairedEventfd(kernel: kernel)
        let context = kernel.makeContext()
        let client = Client()
        let notifier = kernel.makeNotifier(NotifierOperations(release: { _ in release(client) }))
        eventfd.register(context, notifier)
        world.thread("closer") { eventfd.release(context) }
        world.thread("client") {
            client.lock.lock()
            eventfd.unregister(notifier)
            client.lock.unlock()
            cleanUp(client)
            unsafe notifier.free()
        }
    }

    static let broken = Story(
        "sleeping-release", text: EventfdNotifierRace.text, .broken,
        "release callback sleeps under the lock",
        expecting: .deadlock
    ) { world in
        program(world, { $0.end() }, { _ in })
    }

    static let repaired = Story(
        "sleeping-release-repaired", text: EventfdNotifierRace.text, .repaired,
        "release callback that only tells"
    ) { world in
        program(
            world,
            { client in
                client.isEnding.word.store(1, ordering: .releasing)
                client.isEnding.wake()
            },
            { client in
                if client.isEnding.word.load(ordering: .acquiring) == 1 { client.end() }
            })
    }
}
