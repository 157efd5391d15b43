// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A broadcast without the lock: e2b-dev/infra #3629.
@Suite struct BroadcastWithoutLock {
    private final class Job: Sendable {
        private let lock = Mutex(())
        private let changed = Condition()
        private let isCancelled = Atomic(false)

        init() {
            lock.label("lock")
            changed.label("changed")
            isCancelled.label("isCancelled")
        }

        func wait() {
            lock.withLock(
                waitingFor: changed, while: { _ in !isCancelled.load(ordering: .acquiring) }
            ) { _ in }
        }

        func cancel() {
            isCancelled.store(true, ordering: .releasing)
            changed.broadcast()
        }

        func cancelUnderLock() { lock.withLock { _ in cancel() } }
    }

    private func program(_ cancel: @escaping @Sendable (Job) -> Void) -> (ExploredWorld) -> Void {
        { world in
            let job = Job()
            world.thread("waiter") { job.wait() }
            world.thread("canceller") { cancel(job) }
        }
    }

    @Test func `a broadcast between the look and the sleep reaches nobody`() throws {
        try expectFound(
            .lostWakeUp,
            shows: [
                "isCancelled → false", "isCancelled = true", "wake all changed: nobody",
                "wait changed",
            ], columns: ["waiter", "canceller"], program { $0.cancel() })
    }

    @Test func `a broadcast under the lock reaches the waiter`() throws {
        try expectVerified(program { $0.cancelUnderLock() })
    }
}
