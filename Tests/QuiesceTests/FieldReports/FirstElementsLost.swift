// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// The first elements are lost: sideeffect-io/AsyncExtensions #8, harflabs/SwiftVLC #51.
@Suite struct FirstElementsLost {
    private final class Broadcaster: Sendable {
        private let readers = Mutex<[AsyncStream<Int>.Continuation]>([])

        init() { readers.label("readers") }

        private func register(_ reader: AsyncStream<Int>.Continuation) {
            readers.withLock { $0.append(reader) }
        }

        func events(registersLater: Bool) -> AsyncStream<Int> {
            let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
            if registersLater {
                Task(name: "registration") { register(continuation) }
            } else {
                register(continuation)
            }
            return stream
        }

        func send(_ event: Int) {
            for reader in readers.withLock({ $0 }) { reader.yield(event) }
        }
    }

    private func program(registersLater: Bool)
        -> @Sendable (
            ExploredWorld
        ) async throws -> Void
    {
        { _ in
            let broadcaster = Broadcaster()
            let stream = broadcaster.events(registersLater: registersLater)
            Task(name: "sender") {
                broadcaster.send(1)
                broadcaster.send(2)
            }
            for await event in stream {
                expect(event == 1, "the first event comes first")
                break
            }
        }
    }

    @Test func `what is sent before the registration comes to nobody`() async throws {
        try await expectFound(
            .neverResumed, shows: ["main is suspended", "lock readers"],
            columns: ["main", "registration", "sender"], program(registersLater: true))
    }

    @Test func `registering before the stream is returned is right`() async throws {
        try await expectVerified(program(registersLater: false))
    }
}
