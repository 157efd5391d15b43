// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// `eventfd_notifier_register` answers whether the eventfd was signalled already. No callback tells
/// of such a signal: a client that ignores the answer waits for what has come before.
enum RegistrationAnswer {
    /// The client's wait for a signal.
    private final class Signal: Sendable {
        private let heard = WaitPoint()

        init() { heard.label("signal heard") }

        func announce() {
            heard.word.store(1, ordering: .releasing)
            heard.wake()
        }

        func wait() {
            while heard.word.load(ordering: .acquiring) == 0 { heard.wait(while: 0) }
        }
    }

    private static func program(_ world: ExploredWorld, heedsAnswer: Bool) {
        let kernel = EventfdKernel(world: world)
        let eventfd = PatchedEventfd(kernel: kernel)
        let context = kernel.makeContext()
        let signal = Signal()
        let notifier = kernel.makeNotifier(NotifierOperations(signal: { _ in signal.announce() }))
        world.thread("signaller") { kernel.signal(context) }
        world.thread("client") {
            let isSignalled = eventfd.register(context, notifier)
            if !(heedsAnswer && isSignalled) { signal.wait() }
            eventfd.unregister(notifier)
        }
        // The file stays open for as long as the two threads use it.
        world.afterwards {
            eventfd.release(context)
            unsafe notifier.free()
        }
    }

    static let broken = Story(
        "registration-answer", text: EventfdNotifierRace.text, .broken,
        "client ignores that it was signalled",
        expecting: .lostWakeUp
    ) { program($0, heedsAnswer: false) }

    static let repaired = Story(
        "registration-answer-repaired", text: EventfdNotifierRace.text, .repaired,
        "client heeds what register answers"
    ) { program($0, heedsAnswer: true) }
}
