// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A load is cancelled before it is registered: kean/Nuke #671 and #973,
/// pointfreeco/swift-composable-architecture #3663.
@Suite struct CancelledBeforeRegistered {
    private actor Loader {
        private var loads: [Int: Task<Void, Never>] = [:]
        private var tombstones: Set<Int> = []
        private let leavesTombstone: Bool

        init(leavesTombstone: Bool) { self.leavesTombstone = leavesTombstone }

        func start(_ id: Int) {
            if tombstones.remove(id) != nil { return }
            loads[id] = Task(name: "load") {
                // Until it is cancelled.
                for await _ in AsyncStream<Void>.makeStream().stream {}
            }
        }

        func cancel(_ id: Int) {
            if let load = loads.removeValue(forKey: id) { return load.cancel() }
            if leavesTombstone { tombstones.insert(id) }
        }
    }

    private func program(leavesTombstone: Bool) -> @Sendable (ExploredWorld) async throws -> Void {
        { _ in
            let loader = Loader(leavesTombstone: leavesTombstone)
            Task(name: "starter") { await loader.start(7) }
            Task(name: "canceller") { await loader.cancel(7) }
        }
    }

    @Test func `a cancellation that finds no load is lost`() async throws {
        try await expectFound(
            .leakedTask, shows: ["load is suspended", "queues for Loader"],
            columns: ["starter", "canceller", "load"], program(leavesTombstone: false))
    }

    @Test func `a tombstone is found by the start`() async throws {
        try await expectVerified(program(leavesTombstone: true))
    }
}
