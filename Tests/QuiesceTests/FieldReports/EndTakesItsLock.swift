// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A stream's end takes the lock that finishes it: apple/containerization #908.
@Suite struct EndTakesItsLock {
    private final class Process: Sendable {
        private let streams = Mutex<[AsyncStream<Int>.Continuation]>([])

        init() { streams.label("streams") }

        func output(_ cancel: @escaping @Sendable (Process) -> Void) -> AsyncStream<Int> {
            AsyncStream { continuation in
                streams.withLock { $0.append(continuation) }
                continuation.onTermination = { _ in cancel(self) }
            }
        }

        func cancelUnderLock() {
            streams.withLock { streams in
                for stream in streams { stream.finish() }
                streams = []
            }
        }

        func cancel() {
            let finished = streams.withLock { streams in
                defer { streams = [] }
                return streams
            }
            for stream in finished { stream.finish() }
        }
    }

    private func program(_ cancel: @escaping @Sendable (Process) -> Void)
        -> @Sendable (
            ExploredWorld
        ) async throws -> Void
    {
        { _ in
            let process = Process()
            let output = process.output(cancel)
            cancel(process)
            for await _ in output {}
        }
    }

    @Test func `finishing under the lock is a deadlock with oneself`() async throws {
        try await expectFound(
            .deadlock,
            shows: [
                "main waits for streams, which it holds itself", "lock streams", "main on main",
            ], columns: ["main"], program { $0.cancelUnderLock() })
    }

    @Test func `finishing after the lock is right`() async throws {
        try await expectVerified(program { $0.cancel() })
    }
}
