// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// Two ends release one notifier: Linux b68e7fa879cd (vfio virqfd).
@Suite struct ReleasedByTwoEnds {
    private struct Registration: ~Copyable, Sendable {
        /// Whether its release is queued.
        let isQueued = Atomic(false)
    }

    private final class Device: Sendable {
        let registration: Mutex<Storage<Registration>?>
        let isReleased = Unsynchronized(false)
        private let cleanup = WorkQueue(name: "cleanup", .ordered)

        init(_ registration: Storage<Registration>) {
            self.registration = Mutex(registration)
            self.registration.label("device")
            isReleased.label("isReleased")
        }

        func queueRelease(of registration: Storage<Registration>) {
            guard
                !registration.pointee.isQueued.exchange(true, ordering: .sequentiallyConsistent)
            else { return }
            _ = cleanup.enqueue(name: "release") { [self] in
                unsafe registration.free()
                isReleased.store(true)
            }
        }

        /// The eventfd closes: it calls back with the registration that it knows.
        func close(_ known: Storage<Registration>, takesPointer: Bool) {
            guard takesPointer else { return queueRelease(of: known) }
            registration.withLock { registration in
                guard registration == known else { return }
                registration = nil
                queueRelease(of: known)
            }
        }

        /// A call ends the registration.
        func disable() {
            registration.withLock { registration in
                if let registration { queueRelease(of: registration) }
                registration = nil
            }
            try? cleanup.flush()
        }
    }

    private func program(takesPointer: Bool) -> (ExploredWorld) -> Void {
        { world in
            let registration = Storage.allocate(Registration(), name: "registration")
            registration.pointee.isQueued.label("isQueued")
            let device = Device(registration)
            world.thread("closer") { device.close(registration, takesPointer: takesPointer) }
            world.thread("caller") {
                device.disable()
                expect(device.isReleased.load(), "the call returned before the release")
            }
        }
    }

    @Test func `the second end queues what the first has freed`() throws {
        try expectFound(
            .useAfterFree,
            shows: ["enqueue release on cleanup", "registration.isQueued", "free registration"],
            columns: ["closer", "caller", "worker 0"], program(takesPointer: false))
    }

    @Test func `the end that takes the pointer queues`() throws {
        try expectVerified(program(takesPointer: true))
    }
}
