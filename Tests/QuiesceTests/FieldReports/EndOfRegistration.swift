// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// To end a registration is to wait for its callback: dotnet/runtime #85523.
@Suite struct EndOfRegistration {
    private final class Limiter: Sendable {
        let lock = Mutex(())
        init() { lock.label("limiter") }
    }

    private func program(detachesUnderLock: Bool) -> (ExploredWorld) throws -> Void {
        { world in
            let limiter = Limiter()
            let cancellation = EventCounter()
            let registration = try cancellation.subscribe(onSignal: { _ in
                limiter.lock.withLock { _ in }
            })
            world.thread("remover") {
                if detachesUnderLock {
                    limiter.lock.withLock { _ in _ = try? registration.close() }
                } else {
                    limiter.lock.withLock { _ in }
                    _ = try? registration.close()
                }
            }
            world.thread("canceller") { try? cancellation.signal() }
        }
    }

    @Test func `ending it under a lock that the callback takes is a deadlock`() throws {
        try expectFound(
            .deadlock,
            shows: [
                "canceller waits for limiter, held by remover",
                "remover waits for a notifier's callback, which runs on canceller",
                "registration.close()", "canceller on remover", "remover on canceller",
            ], columns: ["remover", "canceller"], program(detachesUnderLock: true))
    }

    @Test func `ending it outside is right`() throws {
        try expectVerified(program(detachesUnderLock: false))
    }
}
