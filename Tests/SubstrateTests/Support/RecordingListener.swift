// SPDX-License-Identifier: Apache-2.0

import Substrate
import Synchronization

/// A listener that keeps a list of what it is told, and uses locks of ours for it.
final class RecordingListener: PassiveListener, @unchecked Sendable {
    // Unchecked: what it holds is behind a lock.
    private let state = Substrate.Mutex(State())

    private struct State {
        var operations: [LockOperation] = []
        var events: [String] = []
    }

    // Asked by a thread that may have this listener.
    var operations: [LockOperation] {
        Self.withoutListener { state.withLock { $0.operations } }
    }
    var events: [String] { Self.withoutListener { state.withLock { $0.events } } }
    /// The kinds of the operations, in the order in which they began.
    var kinds: [OperationKind] { operations.map(\.kind) }

    private func note(_ event: String) { state.withLock { $0.events.append(event) } }

    override func willPerform(_ operation: LockOperation) {
        state.withLock { $0.operations.append(operation) }
        note("will \(operation.kind)")
    }

    override func didPerform(_ operation: LockOperation, succeeded: Bool) {
        note("\(succeeded ? "did" : "failed to") \(operation.kind)")
    }

    override func section(
        of waitClass: WaitClass, _ name: () -> String, _ owner: WaitClass.Owner, begins: Bool
    ) {
        let whose = owner == .thread ? "section" : "task's section"
        note("\(whose) \(name()) \(begins ? "begins" : "ends")")
    }

    override func waits(
        for waitClass: WaitClass, _ name: () -> String, _ owner: WaitClass.Owner, begins: Bool
    ) {
        let whose = owner == .thread ? "wait" : "task's wait"
        note("\(whose) \(name()) \(begins ? "begins" : "ends")")
    }
}
