// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// Accepted, queued and dropped: awslabs/swift-aws-lambda-runtime #636, apple/swift-nio #2637 and
/// #3111.
@Suite struct AcceptedAndDropped {
    private struct Connection: ~Copyable, Sendable {
        let data = Unsynchronized(7)
    }

    private func program(closesRest: Bool) -> @Sendable (ExploredWorld) async throws -> Void {
        { _ in
            let (connections, accepted) = AsyncStream<Storage<Connection>>.makeStream()
            let server = Task(name: "server") {
                var iterator = connections.makeAsyncIterator()
                while !Task.isCancelled, let connection = await iterator.next() {
                    unsafe connection.free()
                }
                if closesRest {
                    accepted.finish()
                    while let connection = await iterator.next() { unsafe connection.free() }
                }
            }
            Task(name: "acceptor") {
                let connection = Storage.allocate(Connection(), name: "connection")
                if case .terminated = accepted.yield(connection) { unsafe connection.free() }
            }
            Task(name: "canceller") { server.cancel() }
        }
    }

    @Test func `a connection in the buffer is dropped with it`() async throws {
        try await expectFound(
            .leak, shows: ["connection was allocated", "allocate connection", "cancels server"],
            columns: ["server", "acceptor", "canceller"], program(closesRest: false))
    }

    @Test func `the end of the stream closes the rest`() async throws {
        try await expectVerified(program(closesRest: true))
    }
}
