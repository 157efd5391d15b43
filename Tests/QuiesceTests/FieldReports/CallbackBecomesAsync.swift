// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A callback becomes `async`, in four generations: ReactiveX/RxSwift #2426, #2563, #2641, #2727.
@Suite struct CallbackBecomesAsync {
    private enum Form { case forgets, bothResume, resumesUnderLock, elects }

    private final class Single: Sendable {
        private struct State {
            var continuation: CheckedContinuation<Int, Never>?
            var isOver = false
        }

        private let form: Form
        private let state = Mutex(State())
        private let didResume = Atomic(false)

        init(_ form: Form) {
            self.form = form
            state.label("state")
            didResume.label("didResume")
        }

        func value() async -> Int {
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isOver = state.withLock { state in
                        state.continuation = continuation
                        return state.isOver
                    }
                    if isOver { end(-1) }
                }
            } onCancel: {
                if form != .forgets { end(-1) }
            }
        }

        func complete() { end(1) }

        private func end(_ value: Int) {
            if form == .resumesUnderLock {
                return state.withLock { state in
                    state.isOver = true
                    state.continuation?.resume(returning: value)
                    state.continuation = nil
                }
            }
            let continuation = state.withLock { state in
                state.isOver = true
                return state.continuation
            }
            guard let continuation else { return }
            if form == .elects {
                guard
                    didResume.compareExchange(
                        expected: false, desired: true, ordering: .acquiringAndReleasing
                    ).exchanged
                else { return }
            } else {
                if didResume.load(ordering: .acquiring) { return }
                didResume.store(true, ordering: .releasing)
            }
            continuation.resume(returning: value)
        }
    }

    private func program(_ form: Form, completes: Bool = true)
        -> @Sendable (ExploredWorld)
        async throws -> Void
    {
        { _ in
            let single = Single(form)
            let consumer = Task(name: "consumer") { await single.value() }
            if completes { Task(name: "source") { single.complete() } }
            Task(name: "canceller") { consumer.cancel() }
            _ = await consumer.value
        }
    }

    @Test func `a cancellation that is forgotten`() async throws {
        try await expectFound(
            .neverResumed, shows: ["consumer is suspended", "cancels consumer"],
            columns: ["consumer", "canceller"], program(.forgets, completes: false))
    }

    @Test func `completion and cancellation both resume`() async throws {
        try await expectFound(
            .resumedTwice, shows: ["didResume → false"], columns: ["source", "canceller"],
            program(.bothResume))
    }

    @Test func `resuming under the lock of the handler`() async throws {
        try await expectFound(
            .deadlock, shows: ["held by source", "carried out by canceller", "lock state"],
            columns: ["source", "canceller"], program(.resumesUnderLock))
    }

    @Test func `one is elected, with no lock held`() async throws {
        try await expectVerified(executions: 20_000, program(.elects))
    }
}
