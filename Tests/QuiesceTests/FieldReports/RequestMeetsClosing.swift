// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// A request for a connection that closes: swift-server/async-http-client #688 and #419.
@Suite struct RequestMeetsClosing {
    private enum Form { case traps, refuses, gated }

    private final class Connection: Sendable {
        private struct State {
            var isClosing = false
            var requests = 0
        }

        private let state = Mutex(State())
        let gate = Gate(name: "use")

        init() { state.label("connection") }

        var requests: Int { state.withLock { $0.requests } }

        func close() { state.withLock { $0.isClosing = true } }

        /// Returns whether the connection takes the request.
        func execute(refuses: Bool = false) -> Bool {
            state.withLock { state in
                if refuses && state.isClosing { return false }
                precondition(!state.isClosing, "a closing connection gets no request")
                state.requests += 1
                return true
            }
        }
    }

    private final class Pool: Sendable {
        private struct State {
            var idle: Connection?
            var requests = 1
        }

        private let state: Mutex<State>

        init(_ connection: Connection) {
            state = Mutex(State(idle: connection))
            state.label("pool")
        }

        var requests: Int { state.withLock { $0.requests } }

        func remove() { state.withLock { $0.idle = nil } }

        func serve(_ form: Form) {
            let connection = state.withLock { state in
                if state.idle != nil { state.requests -= 1 }
                defer { state.idle = nil }
                return state.idle
            }
            guard let connection else { return }
            let isTaken =
                switch form {
                case .traps: connection.execute()
                case .refuses: connection.execute(refuses: true)
                case .gated: connection.gate.withEntry { _ in connection.execute() } ?? false
                }
            if !isTaken { state.withLock { $0.requests += 1 } }
        }
    }

    private func program(_ form: Form) -> (ExploredWorld) -> Void {
        { world in
            let connection = Connection()
            let pool = Pool(connection)
            world.thread("pool") { pool.serve(form) }
            world.thread("connection") {
                if form == .gated { try? connection.gate.close() }
                connection.close()
                pool.remove()
            }
            world.afterwards {
                expect(pool.requests + connection.requests == 1, "no request is lost")
            }
        }
    }

    @Test func `the pool hands a request to a connection that closes`() throws {
        try expectFound(
            .trap, shows: ["pool trapped", "lock pool", "lock connection"],
            columns: ["pool", "connection"], program(.traps))
    }

    @Test func `a closing connection refuses, and the request goes back`() throws {
        try expectVerified(program(.refuses))
    }

    @Test func `a gate around its use keeps the connection open`() throws {
        try expectVerified(program(.gated))
    }
}
