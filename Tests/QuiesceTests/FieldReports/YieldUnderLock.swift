// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A broadcaster yields under its lock: kylebrowning/BLESwift #25.
@Suite struct YieldUnderLock {
    private final class Broadcaster: Sendable {
        private let readers = Mutex<[Int: AsyncStream<Int>.Continuation]>([:])

        init() { readers.label("readers") }

        func events() -> AsyncStream<Int> {
            AsyncStream { continuation in
                readers.withLock { $0[1] = continuation }
                continuation.onTermination = { _ in
                    self.readers.withLock { _ = $0.removeValue(forKey: 1) }
                }
            }
        }

        func send(underLock: Bool) {
            if underLock { return readers.withLock { for reader in $0.values { reader.yield(1) } } }
            for reader in readers.withLock({ $0 }).values { reader.yield(1) }
        }
    }

    private func program(underLock: Bool) -> @Sendable (ExploredWorld) async throws -> Void {
        { _ in
            let broadcaster = Broadcaster()
            let events = broadcaster.events()
            let reader = Task(name: "reader") { for await _ in events { break } }
            Task(name: "sender") { broadcaster.send(underLock: underLock) }
            Task(name: "canceller") { reader.cancel() }
            await reader.value
        }
    }

    @Test func `a cancelled reader's end takes the lock`() async throws {
        try await expectFound(
            .deadlock, shows: ["held by sender", "carried out by canceller", "lock readers"],
            columns: ["sender", "canceller"], program(underLock: true))
    }

    @Test func `copying under the lock and yielding after it is right`() async throws {
        try await expectVerified(executions: 20_000, program(underLock: false))
    }
}
