// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// A cancellation that falls between two tasks: swiftlang/sourcekit-lsp #2152.
@Suite struct CancellationBetweenTasks {
    private enum Form { case looksOnce, looksAgain, looksAtResult }

    private final class Flag: Sendable {
        let isSet = Atomic(false)
        init() { isSet.label("isCancelled") }
    }

    private func program(_ form: Form) -> @Sendable (ExploredWorld) async throws -> Void {
        { _ in
            let flag = Flag()
            let (stream, continuation) = AsyncStream<Task<Void, Never>>.makeStream()
            let result = Task(name: "result") {
                await withTaskCancellationHandler {
                    for await work in stream {
                        await withTaskCancellationHandler {
                            await work.value
                        } onCancel: {
                            work.cancel()
                        }
                        return
                    }
                } onCancel: {
                    flag.isSet.store(true, ordering: .sequentiallyConsistent)
                }
            }
            Task(name: "executor") {
                let isCancelled = flag.isSet.load(ordering: .sequentiallyConsistent)
                let work = Task(name: "work") {
                    if isCancelled { return }
                    // Until it is cancelled.
                    await Self.untilCancelled()
                }
                let answer = continuation.yield(work)
                switch form {
                case .looksOnce: break
                case .looksAgain:
                    if flag.isSet.load(ordering: .sequentiallyConsistent) { work.cancel() }
                case .looksAtResult: if case .terminated = answer { work.cancel() }
                }
            }
            Task(name: "canceller") { result.cancel() }
        }
    }

    private static func untilCancelled() async {
        for await _ in AsyncStream<Void>.makeStream().stream {}
    }

    @Test func `a flag that is looked at once is set too late`() async throws {
        try await expectFound(
            .leakedTask, shows: ["work is suspended", "cancels result", "isCancelled"],
            columns: ["work", "executor"], program(.looksOnce))
    }

    @Test func `looking again after the hand-over is too early`() async throws {
        try await expectFound(
            .leakedTask, shows: ["work is suspended", "cancels result", "isCancelled"],
            columns: ["work", "executor"], program(.looksAgain))
    }

    @Test func `the result of the hand-over says that nobody takes it`() async throws {
        try await expectVerified(executions: 10_000, program(.looksAtResult))
    }
}
