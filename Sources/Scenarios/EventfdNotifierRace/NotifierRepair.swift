// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// The repair again, with what Quiesce offers: an `EventCounter` whose file is a `Reference`, and a
/// `Subscription`.
///
/// The private count of the text is the counter's own memory, which a notifier keeps; the file's
/// count is the reference's, whose last drop hangs up. The callbacks run without a lock, one at a
/// time, and `detach` waits for one that is running.
enum NotifierRepair {
    /// What the callbacks write, and the client frees after `detach`.
    struct Client: ~Copyable, Sendable {
        let signals = Unsynchronized(0)
        let releases = Unsynchronized(0)
    }

    private static func makeClient() -> Storage<Client> {
        let client = Storage.allocate(Client(), name: "client")
        client.pointee.signals.label("signals")
        client.pointee.releases.label("releases")
        return client
    }

    private static func subscribe(
        _ client: Storage<Client>, to file: borrowing Reference<EventCounter>
    ) -> Subscription? {
        file.withObject {
            try? $0.subscribe(
                onSignal: { _ in client.pointee.signals.withValue { $0 += 1 } },
                onClose: { _ in client.pointee.releases.withValue { $0 += 1 } })
        }
    }

    /// The client's memory, its notifier, and the file that user space has.
    private static func start() -> (
        client: Storage<Client>, notifier: Subscription?, userSpace: FileTable
    ) {
        let client = makeClient()
        let file = Reference(EventCounter())
        let notifier = subscribe(client, to: file)
        return (client, notifier, FileTable(file))
    }

    private static func close(_ notifier: Subscription?) -> Bool {
        do { return try notifier?.close() ?? false } catch {
            expect(false, "\(error)")
            return false
        }
    }

    static let everybodyAtOnce = Story(
        "notifier-repair", text: EventfdNotifierRace.text, .repaired,
        "Subscription: close waits for callback"
    ) { world in
        let (client, notifier, userSpace) = start()
        world.thread("signaller") { userSpace.signal() }
        world.thread("closer") { userSpace.close() }
        world.thread("client") {
            _ = close(notifier)
            expect(client.pointee.releases.load() <= 1, "the end was told twice")
            unsafe client.free()
        }
    }

    static let hangUpAgainstDetach = Story(
        "notifier-hang-up", text: EventfdNotifierRace.text, .repaired,
        "Subscription: hang-up against close"
    ) { world in
        let (client, notifier, userSpace) = start()
        world.thread("closer") { userSpace.close() }
        world.thread("client") {
            let isMine = close(notifier)
            expect(
                client.pointee.releases.load() == (isMine ? 0 : 1),
                "both the detach and the hang-up came first")
            unsafe client.free()
        }
    }

    static let signalAgainstDetach = Story(
        "notifier-signal", text: EventfdNotifierRace.text, .repaired,
        "Subscription: signal against close"
    ) { world in
        let (client, notifier, userSpace) = start()
        world.thread("signaller") { userSpace.signal() }
        world.thread("client") {
            _ = close(notifier)
            unsafe client.free()
        }
        world.afterwards { userSpace.close() }
    }

    static let detachInCallback = Story(
        "notifier-detach-in-callback", text: EventfdNotifierRace.text, .repaired,
        "Subscription: close in its own callback"
    ) { world in
        let client = makeClient()
        let file = Reference(EventCounter())
        _ = file.withObject {
            try? $0.subscribe(
                onSignal: { _ in },
                onClose: { notifier in
                    client.pointee.releases.withValue { $0 += 1 }
                    _ = close(notifier)
                })
        }
        let userSpace = FileTable(file)
        world.thread("closer") { userSpace.close() }
        world.afterwards {
            expect(client.pointee.releases.load() == 1, "the end was not told once")
            unsafe client.free()
        }
    }

    static let detachInSignal = Story(
        "notifier-detach-in-signal", text: EventfdNotifierRace.text, .repaired,
        "Subscription: close in signal callback"
    ) { world in
        let client = makeClient()
        let file = Reference(EventCounter())
        _ = file.withObject {
            try? $0.subscribe(
                onSignal: { notifier in
                    client.pointee.signals.withValue { $0 += 1 }
                    expect(close(notifier), "the notifier was detached before")
                },
                onClose: { _ in expect(false, "a callback followed detach") })
        }
        let userSpace = FileTable(file)
        for name in ["one", "other"] { world.thread(name) { userSpace.signal() } }
        world.afterwards {
            expect(client.pointee.signals.load() == 1, "detached, and called all the same")
            userSpace.close()
            unsafe client.free()
        }
    }

    /// The second of two notifiers on one counter is detached by the first's callback, while the
    /// client detaches the first.
    static let detachNeighbour = Story(
        "notifier-detach-neighbour", text: EventfdNotifierRace.text, .repaired,
        "Subscription: close a neighbour"
    ) { world in
        let client = makeClient()
        let second = Neighbour()
        let file = Reference(EventCounter())
        let first = file.withObject {
            try? $0.subscribe(
                onSignal: { _ in
                    second.end()
                    unsafe client.free()
                }, onClose: { _ in })
        }
        let neighbour = subscribe(client, to: file)
        second.notifier.withLock { $0 = neighbour }
        let userSpace = FileTable(file)
        world.thread("signaller") { userSpace.signal() }
        world.thread("client") { _ = close(first) }
        world.afterwards {
            userSpace.close()
            if second.end() { unsafe client.free() }
        }
    }

    /// The callback of one counter's notifier detaches another counter's, which hangs up meanwhile.
    static let detachAnother = Story(
        "notifier-detach-another", text: EventfdNotifierRace.text, .repaired,
        "Subscription: waits for another's callback"
    ) { world in
        let client = makeClient()
        let one = Reference(EventCounter())
        let other = Reference(EventCounter())
        let ending = subscribe(client, to: other)
        _ = one.withObject {
            try? $0.subscribe(
                onSignal: { _ in
                    let isMine = close(ending)
                    expect(
                        client.pointee.releases.load() == (isMine ? 0 : 1),
                        "both the detach and the hang-up came first")
                    unsafe client.free()
                }, onClose: { _ in })
        }
        let (command, closed) = (FileTable(one), FileTable(other))
        world.thread("signaller") { command.signal() }
        world.thread("closer") { closed.close() }
        world.afterwards { command.close() }
    }

    /// What deadlocked under the wait queue's lock: the callback takes the client's lock, and the
    /// client detaches under it.
    static let sleepingCallback = Story(
        "notifier-sleeping-callback", text: EventfdNotifierRace.text, .repaired,
        "Subscription: callback that sleeps"
    ) { world in
        let client = makeClient()
        let lock = ClientLock()
        let file = Reference(EventCounter())
        let notifier = file.withObject {
            try? $0.subscribe(
                onSignal: { _ in },
                onClose: { _ in lock.whileHeld { client.pointee.releases.withValue { $0 += 1 } } })
        }
        let userSpace = FileTable(file)
        world.thread("closer") { userSpace.close() }
        world.thread("client") {
            lock.whileHeld {}
            _ = close(notifier)
            unsafe client.free()
        }
    }

    /// The client hears of the end, since a notifier keeps the counter's memory and not its file.
    static let fileReference = Story(
        "notifier-hears-of-the-end", text: EventfdNotifierRace.text, .repaired,
        "Subscription: keeps no file open"
    ) { world in
        let file = Reference(EventCounter())
        let ending = WaitQueue(name: "the end")
        let isOver = Ending()
        _ = file.withObject {
            try? $0.subscribe(
                onSignal: { _ in },
                onClose: { _ in
                    isOver.flag.store(true, ordering: .sequentiallyConsistent)
                    ending.wake()
                })
        }
        let userSpace = FileTable(file)
        world.thread("user space") { userSpace.close() }
        world.thread("client") {
            try? ending.wait { isOver.flag.load(ordering: .sequentiallyConsistent) }
        }
    }

    /// A notifier that is attached after the one whose callback detaches it.
    private final class Neighbour: Sendable {
        let notifier = Mutex<Subscription?>(nil)

        init() { notifier.label("second notifier") }

        /// Detaches it. False when this was done before.
        @discardableResult
        func end() -> Bool {
            guard let notifier = notifier.withLock({ $0.take() }) else { return false }
            _ = close(notifier)
            return true
        }
    }

    private final class Ending: Sendable {
        let flag = Atomic(false)

        init() { flag.label("is over") }
    }

    private final class ClientLock: Sendable {
        private let lock = Mutex(())

        init() { lock.label("client.lock") }

        func whileHeld(_ body: () -> Void) { lock.withLock { _ in body() } }
    }

    /// User space's descriptor: signals through the file, and closes it.
    private final class FileTable: Sendable {
        private let file: Mutex<Reference<EventCounter>?>

        init(_ reference: consuming Reference<EventCounter>) {
            file = Mutex(reference)
            file.label("file table")
        }

        func signal() {
            // A system call holds the file for as long as it lasts.
            let held = file.withLock { $0?.share() }
            held?.withObject { try? $0.signal() }
        }

        func close() {
            let last = file.withLock { $0.take() }
            last?.drop()
        }
    }
}
