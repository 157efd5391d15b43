// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// Stopped before it ran: grpc/grpc-swift #2214.
@Suite struct StoppedBeforeItRan {
    private final class Service: Sendable {
        private struct Stopped: Error {}

        private struct State {
            var isStopped = false
            var runner: CheckedContinuation<Void, Never>?
            var open = ["listener"]
        }

        private let state = Mutex(State())
        private let refuses: Bool

        init(refuses: Bool) {
            self.refuses = refuses
            state.label("service")
        }

        var isClosed: Bool { state.withLock { $0.open.isEmpty } }

        func run() async throws {
            if refuses && state.withLock({ $0.isStopped }) { throw Stopped() }
            await withCheckedContinuation { continuation in
                let isStopped = state.withLock { state in
                    if !state.isStopped { state.runner = continuation }
                    return state.isStopped
                }
                if isStopped { continuation.resume() }
            }
            state.withLock { $0.open = [] }
        }

        func stop() {
            let runner = state.withLock { state in
                state.isStopped = true
                defer { state.runner = nil }
                return state.runner
            }
            runner?.resume()
        }
    }

    private func program(refuses: Bool) -> @Sendable (ExploredWorld) async throws -> Void {
        { _ in
            let service = Service(refuses: refuses)
            let runner = Task(name: "runner") { try await service.run() }
            Task(name: "stopper") { service.stop() }
            _ = await runner.result
            expect(service.isClosed, "all is closed")
        }
    }

    @Test func `a service that was stopped refuses to run and to clean up`() async throws {
        try await expectFound(
            .expectation, shows: ["all is closed", "lock service"],
            columns: ["runner", "stopper"], program(refuses: true))
    }

    @Test func `a service that was stopped cleans up when it runs`() async throws {
        try await expectVerified(program(refuses: false))
    }
}
