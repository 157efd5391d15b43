// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate

/// The repair again, with what Quiesce offers: an `EventCounter` whose file is a `Reference`, and a
/// `Notifier`.
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

    private static func attach(
        _ client: Storage<Client>, to file: borrowing Reference<EventCounter>
    ) -> Notifier? {
        file.withObject {
            try? $0.attach(
                onSignal: { _ in client.pointee.signals.withValue { $0 += 1 } },
                onHangUp: { _ in client.pointee.releases.withValue { $0 += 1 } })
        }
    }

    /// The client's memory, its notifier, and the file that user space has.
    private static func start() -> (
        client: Storage<Client>, notifier: Notifier?, userSpace: FileTable
    ) {
        let client = makeClient()
        let file = Reference(EventCounter())
        let notifier = attach(client, to: file)
        return (client, notifier, FileTable(file))
    }

    private static func detach(_ notifier: Notifier?) -> Bool {
        do { return try notifier?.detach() ?? false } catch {
            expect(false, "\(error)")
            return false
        }
    }

    static let everybodyAtOnce = Story(
        "notifier-repair", text: EventfdNotifierRace.text, .repaired,
        "Notifier: detach waits for the callback"
    ) { world in
        let (client, notifier, userSpace) = start()
        world.thread("signaller") { userSpace.signal() }
        world.thread("closer") { userSpace.close() }
        world.thread("client") {
            _ = detach(notifier)
            expect(client.pointee.releases.load() <= 1, "the end was told twice")
            unsafe client.free()
        }
    }

    static let hangUpAgainstDetach = Story(
        "notifier-hang-up", text: EventfdNotifierRace.text, .repaired,
        "Notifier: hang-up against detach"
    ) { world in
        let (client, notifier, userSpace) = start()
        world.thread("closer") { userSpace.close() }
        world.thread("client") {
            let isMine = detach(notifier)
            expect(
                client.pointee.releases.load() == (isMine ? 0 : 1),
                "both the detach and the hang-up came first")
            unsafe client.free()
        }
    }

    static let signalAgainstDetach = Story(
        "notifier-signal", text: EventfdNotifierRace.text, .repaired,
        "Notifier: signal against detach"
    ) { world in
        let (client, notifier, userSpace) = start()
        world.thread("signaller") { userSpace.signal() }
        world.thread("client") {
            _ = detach(notifier)
            unsafe client.free()
        }
        world.afterwards { userSpace.close() }
    }

    static let detachInCallback = Story(
        "notifier-detach-in-callback", text: EventfdNotifierRace.text, .repaired,
        "Notifier: detach in its own callback"
    ) { world in
        let client = makeClient()
        let file = Reference(EventCounter())
        _ = file.withObject {
            try? $0.attach(
                onSignal: { _ in },
                onHangUp: { notifier in
                    client.pointee.releases.withValue { $0 += 1 }
                    _ = detach(notifier)
                })
        }
        let userSpace = FileTable(file)
        world.thread("closer") { userSpace.close() }
        world.afterwards {
            expect(client.pointee.releases.load() == 1, "the end was not told once")
            unsafe client.free()
        }
    }

    /// What deadlocked under the wait queue's lock: the callback takes the client's lock, and the
    /// client detaches under it.
    static let sleepingCallback = Story(
        "notifier-sleeping-callback", text: EventfdNotifierRace.text, .repaired,
        "Notifier: callback that sleeps"
    ) { world in
        let client = makeClient()
        let lock = ClientLock()
        let file = Reference(EventCounter())
        let notifier = file.withObject {
            try? $0.attach(
                onSignal: { _ in },
                onHangUp: { _ in lock.whileHeld { client.pointee.releases.withValue { $0 += 1 } } })
        }
        let userSpace = FileTable(file)
        world.thread("closer") { userSpace.close() }
        world.thread("client") {
            lock.whileHeld {}
            _ = detach(notifier)
            unsafe client.free()
        }
    }

    /// The client hears of the end, since a notifier keeps the counter's memory and not its file.
    static let fileReference = Story(
        "notifier-hears-of-the-end", text: EventfdNotifierRace.text, .repaired,
        "Notifier: keeps no file open"
    ) { world in
        let file = Reference(EventCounter())
        let ending = WaitQueue(name: "the end")
        let isOver = Ending()
        _ = file.withObject {
            try? $0.attach(
                onSignal: { _ in },
                onHangUp: { _ in
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
