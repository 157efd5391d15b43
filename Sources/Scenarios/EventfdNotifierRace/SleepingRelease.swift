// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// "Clients that previously assumed the release could sleep will need to be refactored": the
/// published patch calls it under the queue's lock.
///
/// The client has two notifiers on one eventfd and a lock of its own, which its release callback
/// takes and under which it unregisters one of the two.
enum SleepingRelease {
    /// What the client protects by its lock.
    private final class Client: Sendable {
        let lock = Mutex(())
        let isGone = Unsynchronized(false)
        private let isEnding = WaitPoint()

        init() {
            lock.label("client.lock")
            isGone.label("client.isGone")
            isEnding.label("client.isEnding")
        }

        /// Sleeps until the lock is free.
        func end() {
            lock.lock()
            isGone.store(true)
            lock.unlock()
        }

        func announceEnd() {
            isEnding.word.store(1, ordering: .releasing)
            isEnding.wake()
        }

        func waitForEnd() {
            while isEnding.word.load(ordering: .acquiring) == 0 { isEnding.wait(while: 0) }
        }
    }

    private static func program(
        _ world: ExploredWorld, release: @escaping @Sendable (Client) -> Void
    ) -> Client {
        let kernel = EventfdKernel(world: world)
        let eventfd = PatchedEventfd(kernel: kernel)
        let context = kernel.makeContext()
        let client = Client()
        let operations = NotifierOperations(release: { _ in release(client) })
        let first = kernel.makeNotifier(operations, name: "first")
        let second = kernel.makeNotifier(operations, name: "second")
        eventfd.register(context, first)
        eventfd.register(context, second)
        world.thread("closer") { eventfd.release(context) }
        world.thread("client") {
            client.lock.lock()
            eventfd.unregister(second)
            client.lock.unlock()
        }
        world.afterwards {
            expect(client.isGone.load(), "the client did not hear of the end")
            unsafe first.free()
            unsafe second.free()
        }
        return client
    }

    static let broken = Story(
        "sleeping-release", text: EventfdNotifierRace.text, .broken,
        "release callback sleeps under the lock",
        expecting: .deadlock
    ) { world in
        _ = program(world) { $0.end() }
    }

    static let repaired = Story(
        "sleeping-release-repaired", text: EventfdNotifierRace.text, .repaired,
        "release callback that only tells"
    ) { world in
        let client = program(world) { $0.announceEnd() }
        world.thread("cleaner") {
            client.waitForEnd()
            client.end()
        }
    }
}
