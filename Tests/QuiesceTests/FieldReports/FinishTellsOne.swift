// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// `finish` tells one of several readers: swiftlang/swift #66541.
@Suite struct FinishTellsOne {
    private final class Channel: Sendable {
        private struct State {
            var elements: [Int] = []
            var isFinished = false
            var readers: [CheckedContinuation<Int?, Never>] = []
        }

        private let state = Mutex(State())
        private let tellsAll: Bool

        init(tellsAll: Bool) {
            self.tellsAll = tellsAll
            state.label("channel")
        }

        func next() async -> Int? {
            await withCheckedContinuation { continuation in
                let answer: Int?? = state.withLock { state in
                    if !state.elements.isEmpty { return state.elements.removeFirst() }
                    if state.isFinished { return .some(nil) }
                    state.readers.append(continuation)
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        }

        func finish() {
            let told = state.withLock { state in
                state.isFinished = true
                let told = state.readers.prefix(tellsAll ? .max : 1)
                state.readers.removeFirst(told.count)
                return told
            }
            for reader in told { reader.resume(returning: nil) }
        }
    }

    private func program(tellsAll: Bool) -> @Sendable (ExploredWorld) async throws -> Void {
        { _ in
            let channel = Channel(tellsAll: tellsAll)
            for reader in 1...2 { Task(name: "reader \(reader)") { _ = await channel.next() } }
            channel.finish()
        }
    }

    @Test func `one reader is never told that the stream is over`() async throws {
        try await expectFound(
            .leakedTask, shows: ["reader 2 is suspended", "lock channel", "resumes reader 1"],
            columns: ["main", "reader 1", "reader 2"], program(tellsAll: false))
    }

    @Test func `all readers are told that the stream is over`() async throws {
        try await expectVerified(program(tellsAll: true))
    }

    private func streamProgram() -> @Sendable (ExploredWorld) async throws -> Void {
        { _ in
            let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
            for reader in 1...2 {
                Task(name: "reader \(reader)") { for await _ in stream { break } }
            }
            // The stream's own lock is no step. So a job of its own finishes it.
            Task(name: "source") { continuation.finish() }
        }
    }

    @Test func `the standard library's stream tells all readers`() async throws {
        try await expectVerified(streamProgram())
    }
}
