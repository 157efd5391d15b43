// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// A client that keeps the file's own reference never hears of the end: the file cannot end while
/// it waits for that.
enum FileReference {
    /// The client's wait for the hang-up.
    private final class Ending: Sendable {
        private let heard = WaitPoint()

        init() { heard.label("hang-up heard") }

        func announce() {
            heard.word.store(1, ordering: .releasing)
            heard.wake()
        }

        func wait() {
            while heard.word.load(ordering: .acquiring) == 0 { heard.wait(while: 0) }
        }
    }

    static let broken = Story(
        "file-reference", text: EventfdNotifierRace.text, .broken,
        "client that keeps the file's reference",
        expecting: .lostWakeUp
    ) { world in
        let kernel = EventfdKernel(world: world)
        let eventfd = RepairedEventfd(kernel: kernel)
        let context = kernel.makeContext()
        let ending = Ending()
        let notifier = kernel.makeNotifier(NotifierOperations(release: { _ in ending.announce() }))
        // One reference is user space's, one the client's.
        let file = EventFile(references: 2) { eventfd.release(context) }
        eventfd.register(context, notifier)
        world.thread("user space") { file.put() }
        world.thread("client") {
            ending.wait()
            file.put()
            eventfd.unregister(notifier)
            unsafe notifier.free()
        }
    }

    static let repaired = Story(
        "file-reference-repaired", text: EventfdNotifierRace.text, .repaired,
        "client that holds the private reference"
    ) { world in
        let kernel = EventfdKernel(world: world)
        let eventfd = RepairedEventfd(kernel: kernel)
        let context = kernel.makeContext()
        let ending = Ending()
        let notifier = kernel.makeNotifier(NotifierOperations(release: { _ in ending.announce() }))
        let file = EventFile { eventfd.release(context) }
        eventfd.register(context, notifier)
        world.thread("user space") { file.put() }
        world.thread("client") {
            ending.wait()
            eventfd.unregister(notifier)
            unsafe notifier.free()
        }
    }
}
