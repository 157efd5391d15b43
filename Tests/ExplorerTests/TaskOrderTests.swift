// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// Plain memory that tasks share, each access of which is looked at.
private final class Cell: Sendable {
    private let value = Unsynchronized(0)
    func add() { value.withValue { $0 += 1 } }
    var now: Int { value.load() }
}

/// A word that orders nothing.
private final class Signal: Sendable {
    private let value = Atomic(0)
    func give() { value.store(1, ordering: .relaxed) }
    var isGiven: Bool { value.load(ordering: .relaxed) == 1 }
}

/// What happens before what among tasks: of correct programs none is a data race, of wrong ones
/// every one.
@Suite struct TaskOrderTests {
    private func run(
        _ options: ExplorationOptions, _ program: @escaping AsyncProgram
    ) async throws -> ExplorationReport {
        var options = options
        options.stopsAtFirstFailure = false
        let settled = options
        return try await Task.detached { try Exploration("order", options: settled, program).run() }
            .value
    }

    /// Under both reductions, and where the explorer sees only what executors see.
    private func expectNoRace(
        location: SourceLocation = #_sourceLocation, _ program: @escaping AsyncProgram
    ) async throws {
        for reduction in [ExplorationOptions.Reduction.sound, .declared] {
            var options = ExplorationOptions()
            options.reduction = reduction
            options.executionLimit = 3_000
            let report = try await run(options, program)
            #expect(report.verdicts.isEmpty, "\(reduction) \(report)", sourceLocation: location)
        }
    }

    private func expectRace(
        location: SourceLocation = #_sourceLocation, _ program: @escaping AsyncProgram
    ) async throws {
        let report = try await run(ExplorationOptions(), program)
        #expect(report.verdicts[.race] != nil, "\(report)", sourceLocation: location)
    }

    // MARK: Executors

    private actor Account {
        private let cell = Cell()
        func use() { cell.add() }
        func useTwice(_ other: Account?) async {
            cell.add()
            await other?.use()
            cell.add()
        }
    }

    @MainActor private final class Screen {
        let cell = Cell()
        func use() { cell.add() }
    }

    /// An executor of the program's own: who finds nobody serving serves.
    private final class Queue: SerialExecutor {
        private struct State {
            var jobs: [UnownedJob] = []
            var isServed = false
        }

        private let state = Substrate.Mutex(State())

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            let serves = state.withLock { state in
                state.jobs.append(job)
                defer { state.isServed = true }
                return !state.isServed
            }
            guard serves else { return }
            while let job = next() { unsafe job.runSynchronously(on: asUnownedSerialExecutor()) }
        }

        private func next() -> UnownedJob? {
            state.withLock { state in
                if state.jobs.isEmpty {
                    state.isServed = false
                    return nil
                }
                return state.jobs.removeFirst()
            }
        }
    }

    private actor Own {
        private let queue = Queue()
        private let cell = Cell()
        nonisolated var unownedExecutor: UnownedSerialExecutor {
            unsafe queue.asUnownedSerialExecutor()
        }
        func use() { cell.add() }
    }

    @Test func `jobs of an executor of the program's own come one after the other`() async throws {
        try await expectNoRace { _ in
            let own = Own()
            async let first: Void = own.use()
            async let second: Void = own.use()
            _ = await (first, second)
        }
    }

    @Test func `jobs of an actor come one after the other`() async throws {
        try await expectNoRace { _ in
            let account = Account()
            async let first: Void = account.use()
            async let second: Void = account.use()
            _ = await (first, second)
        }
    }

    @Test func `an actor that is re-entered has one job at a time`() async throws {
        try await expectNoRace { _ in
            let account = Account()
            let other = Account()
            async let first: Void = account.useTwice(other)
            async let second: Void = account.useTwice(nil)
            _ = await (first, second)
        }
    }

    @Test func `jobs of the main actor come one after the other`() async throws {
        try await expectNoRace { _ in
            let screen = await MainActor.run { Screen() }
            let first = Task { @MainActor in screen.use() }
            let second = Task { await screen.use() }
            await first.value
            await second.value
        }
    }

    @Test func `what an actor does not protect races`() async throws {
        try await expectRace { _ in
            let account = Account()
            let cell = Cell()
            async let first: Void = {
                await account.use()
                cell.add()
            }()
            async let second: Void = {
                await account.use()
                cell.add()
            }()
            _ = await (first, second)
        }
    }

    @Test func `two actors do not protect one thing`() async throws {
        actor Holder {
            let cell: Cell
            init(_ cell: Cell) { self.cell = cell }
            func use() { cell.add() }
        }
        try await expectRace { _ in
            let cell = Cell()
            let one = Holder(cell)
            let other = Holder(cell)
            async let first: Void = one.use()
            async let second: Void = other.use()
            _ = await (first, second)
        }
    }

    // MARK: Ends

    @Test func `a task's end comes before a reader of its value`() async throws {
        try await expectNoRace { _ in
            let cell = Cell()
            let task = Task { cell.add() }
            await Task.yield()
            await task.value
            cell.add()
        }
    }

    @Test func `two that await one task come after it`() async throws {
        try await expectNoRace { _ in
            let cell = Cell()
            let task = Task { cell.add() }
            async let first: Int = {
                await task.value
                return cell.now
            }()
            async let second: Int = {
                await task.value
                return cell.now
            }()
            _ = await (first, second)
        }
    }

    @Test func `children of a group end before their results are taken`() async throws {
        try await expectNoRace { _ in
            let cell = Cell()
            await withTaskGroup { group in
                group.addTask { cell.add() }
                await Task.yield()
                await group.next()
                cell.add()
                group.addTask { cell.add() }
                await group.waitForAll()
                cell.add()
            }
        }
    }

    @Test func `children of a discarding group end before it`() async throws {
        try await expectNoRace { _ in
            let cells = [Cell(), Cell()]
            await withDiscardingTaskGroup { group in
                for cell in cells { group.addTask { cell.add() } }
            }
            for cell in cells { cell.add() }
        }
    }

    @Test func `an asynchronous binding ends before it is awaited`() async throws {
        try await expectNoRace { _ in
            let cell = Cell()
            cell.add()
            async let child: Void = cell.add()
            await Task.yield()
            await child
            cell.add()
        }
    }

    @Test func `a task that throws ends before its error is caught`() async throws {
        struct Wrong: Error {}
        try await expectNoRace { _ in
            let cell = Cell()
            let task = Task {
                cell.add()
                throw Wrong()
            }
            await Task.yield()
            _ = await task.result
            cell.add()
        }
    }

    @Test func `who does not await a task races with it`() async throws {
        try await expectRace { _ in
            let cell = Cell()
            let task = Task { cell.add() }
            await Task.yield()
            cell.add()
            await task.value
        }
    }

    // MARK: Resuming

    @Test func `a thread resumes a task that reads what it stored`() async throws {
        try await expectNoRace { world in
            let cell = Cell()
            await withCheckedContinuation { continuation in
                world.thread("resumer") {
                    cell.add()
                    continuation.resume()
                }
            }
            cell.add()
        }
    }

    @Test func `a task is resumed before it waits`() async throws {
        try await expectNoRace { _ in
            let cell = Cell()
            let gate = Signal()
            unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                Task {
                    cell.add()
                    unsafe continuation.resume()
                    gate.give()
                }
                _ = gate.isGiven
            }
            cell.add()
        }
    }

    @Test func `what a thread does once it has resumed races`() async throws {
        try await expectRace { world in
            let cell = Cell()
            await withCheckedContinuation { continuation in
                world.thread("resumer") {
                    continuation.resume()
                    cell.add()
                }
            }
            cell.add()
        }
    }

    @Test func `an element comes after what was done before it was sent`() async throws {
        try await expectNoRace { _ in
            let cell = Cell()
            let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
            let writer = Task {
                cell.add()
                continuation.yield(1)
                continuation.finish()
            }
            for await _ in stream { cell.add() }
            await writer.value
        }
    }

    @Test func `elements are passed along a chain of tasks`() async throws {
        try await expectNoRace { _ in
            let cell = Cell()
            let (first, input) = AsyncStream.makeStream(of: Int.self)
            let (second, output) = AsyncStream.makeStream(of: Int.self)
            let link = Task {
                for await item in first { output.yield(item) }
                output.finish()
            }
            cell.add()
            input.yield(1)
            input.finish()
            let reader = Task { for await _ in second { cell.add() } }
            await reader.value
            await link.value
        }
    }

    @Test func `a task comes after what was done before it was created`() async throws {
        try await expectNoRace { world in
            let cell = Cell()
            cell.add()
            await Task.detached { cell.add() }.value
            world.thread("thread") { Task { cell.add() } }
        }
    }

    // MARK: Cancellation

    @Test func `a cancellation handler comes after the cancellation, and before its end`()
        async throws
    {
        try await expectNoRace { _ in
            let cell = Cell()
            let task = Task {
                await withTaskCancellationHandler {
                    await Task.yield()
                } onCancel: {
                    cell.add()
                }
                guard Task.isCancelled else { return }
            }
            cell.add()
            task.cancel()
            await task.value
        }
    }

    @Test func `a handler sees what was done before it was registered`() async throws {
        try await expectNoRace { _ in
            let cell = Cell()
            let done = Signal()
            let task = Task {
                cell.add()
                await withTaskCancellationHandler {
                    await Task.yield()
                } onCancel: {
                    cell.add()
                    done.give()
                }
                // The handler has run, or never will.
                if done.isGiven { cell.add() }
            }
            task.cancel()
            await task.value
        }
    }

    @Test func `a cancellation of the parent comes before the handler of a child`() async throws {
        try await expectNoRace { _ in
            let cell = Cell()
            let task = Task {
                await withTaskGroup { group in
                    group.addTask {
                        await withTaskCancellationHandler {
                        } onCancel: {
                            cell.add()
                        }
                    }
                }
            }
            cell.add()
            task.cancel()
            await task.value
        }
    }

    @Test func `a flag beside the cancellation races with the task`() async throws {
        try await expectRace { _ in
            let cell = Cell()
            let task = Task { cell.now }
            cell.add()
            task.cancel()
            _ = await task.value
        }
    }
}
