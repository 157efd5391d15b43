// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Synchronization
import TestSupport
import Testing

typealias AsyncProgram = @Sendable (ExploredWorld) async throws -> Void

private actor Counter {
    var value = 0
    func get() -> Int { value }
    func set(_ new: Int) { value = new }
    func increment() { value += 1 }
}

private actor Log {
    var items: [Int] = []
    func add(_ item: Int) { items.append(item) }
    func snapshot() -> [Int] { items }
}

/// What executions came to, each once.
private final class TaskOutcomes: Sendable {
    private let found = Synchronization.Mutex<Set<String>>([])
    func note(_ outcome: String) { found.withLock { _ = $0.insert(outcome) } }
    var all: Set<String> { found.withLock { $0 } }
}

@Suite struct TaskTests {
    /// Runs an exploration on a thread of its own, as `explore` does, to the end.
    private func run(
        _ program: @escaping AsyncProgram, _ options: ExplorationOptions = ExplorationOptions()
    ) async throws -> ExplorationReport {
        var options = options
        options.stopsAtFirstFailure = false
        let settled = options
        return try await Task.detached { try Exploration("tasks", options: settled, program).run() }
            .value
    }

    // MARK: Every order that can happen

    /// The reduction must come to the same outcomes as the search without any, and never take
    /// longer.
    private func expectSameOutcomes(
        _ expected: Set<String>? = nil, declared: Bool = true,
        location: SourceLocation = #_sourceLocation,
        _ program:
            @escaping @Sendable (ExploredWorld, @Sendable (String) -> Void) async throws -> Void
    ) async throws {
        var results: [(Set<String>, Int)] = []
        for (strategy, reduction) in [
            (ExplorationOptions.Strategy.depthFirst, ExplorationOptions.Reduction.sound),
            (.optimal, .sound),
            (.optimal, .declared),
        ] where declared || reduction == .sound {
            let outcomes = TaskOutcomes()
            var options = ExplorationOptions(strategy: strategy)
            options.reduction = reduction
            let report = try await run({ try await program($0) { outcomes.note($0) } }, options)
            #expect(report.failed == 0 && report.cut == 0, sourceLocation: location)
            results.append((outcomes.all, report.executions))
        }
        for (outcomes, executions) in results {
            #expect(
                outcomes == results[0].0, "\(executions) \(results.map(\.1))",
                sourceLocation: location)
            #expect(executions <= results[0].1, sourceLocation: location)
        }
        if let expected { #expect(results[0].0 == expected, sourceLocation: location) }
    }

    @Test func `a child may come before its parent goes on`() async throws {
        try await expectSameOutcomes(["[1, 2]", "[2, 1]"]) { _, note in
            let log = Log()
            async let child: Void = log.add(1)
            await log.add(2)
            await child
            note("\(await log.snapshot())")
        }
    }

    @Test func `a task may run before it is cancelled`() async throws {
        try await expectSameOutcomes(["true", "false"]) { _, note in
            let task = Task { Task.isCancelled }
            task.cancel()
            note("\(await task.value)")
        }
    }

    @Test func `three tasks come to an actor in every order`() async throws {
        try await expectSameOutcomes(
            Set(
                [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]].map { "\($0)" })
        ) {
            _, note in
            let log = Log()
            await withTaskGroup { group in
                for item in 1...3 { group.addTask { await log.add(item) } }
            }
            note("\(await log.snapshot())")
        }
    }

    @Test func `an update is lost`() async throws {
        try await expectSameOutcomes(["1", "2"]) { _, note in
            let counter = Counter()
            await withTaskGroup { group in
                for _ in 0..<2 {
                    group.addTask {
                        let value = await counter.get()
                        await counter.set(value + 1)
                    }
                }
            }
            note("\(await counter.get())")
        }
    }

    @Test func `results of a group come in every order`() async throws {
        try await expectSameOutcomes(["[1, 2]", "[2, 1]"]) { _, note in
            let results = await withTaskGroup { group in
                for item in 1...2 {
                    group.addTask {
                        await Task.yield()
                        return item
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            note("\(results)")
        }
    }

    @Test func `the main actor serves in order`() async throws {
        try await expectSameOutcomes(["[1, 2]"]) { _, note in
            let log = Log()
            let first = Task { @MainActor in await log.add(1) }
            let second = Task { @MainActor in await log.add(2) }
            await first.value
            await second.value
            note("\(await log.snapshot())")
        }
    }

    private actor Reader {
        private var reads = 0
        func read() { reads += 1 }
    }

    private actor Twice {
        var count = 0
        func twice(_ reader: Reader) async {
            count += 1
            await reader.read()
            count += 1
        }
        func get() -> Int { count }
    }

    @Test func `an actor is re-entered`() async throws {
        try await expectSameOutcomes(["0", "1", "2"]) { _, note in
            let twice = Twice()
            let reader = Reader()
            async let writing: Void = twice.twice(reader)
            let seen = await twice.get()
            await writing
            note("\(seen)")
        }
    }

    @Test func `a task that is resumed may run before what follows`() async throws {
        try await expectSameOutcomes(["true", "false"]) { _, note in
            let resumed = Task {
                await withCheckedContinuation { continuation in Task { continuation.resume() } }
                return Task.isCancelled
            }
            async let cancelled: Void = {
                await Task.yield()
                resumed.cancel()
            }()
            note("\(await resumed.value)")
            await cancelled
        }
    }

    private final class Box: Sendable {
        let waiting = Synchronization.Mutex<CheckedContinuation<Void, Never>?>(nil)
        func resume() { waiting.withLock { $0.take()?.resume() } }
        func wait() async {
            await withCheckedContinuation { continuation in waiting.withLock { $0 = continuation } }
            waiting.withLock { _ in }
        }
    }

    @Test func `a foreign lock held over a resume is no deadlock`() async throws {
        let report = try await run { _ in
            let box = Box()
            let waiter = Task { await box.wait() }
            await Task.yield()
            box.resume()
            waiter.cancel()
        }
        #expect(Set(report.verdicts.keys).isSubset(of: [.leakedTask, .neverResumed]))
        #expect(
            report.coverage
                == .bounded(by: "locks of another library, held while a task is created or resumed")
        )
    }

    @MainActor private final class Screen {
        var shown = ""
        func one() { shown += "b" }
        func two() async {
            shown += "a"
            await Task.yield()
            shown += "A"
        }
    }

    @Test func `a task may be served before the next is started`() async throws {
        try await expectSameOutcomes(["abA", "aAb"]) { _, note in
            let screen = await MainActor.run { Screen() }
            let first = Task { @MainActor in await screen.two() }
            let second = Task { @MainActor in screen.one() }
            await first.value
            await second.value
            note(await screen.shown)
        }
    }

    @Test func `two actors do not wait for each other`() async throws {
        try await expectSameOutcomes(["1 1"]) { _, note in
            let one = Counter()
            let other = Counter()
            async let first: Void = one.increment()
            async let second: Void = other.increment()
            _ = await (first, second)
            note("\(await one.get()) \(await other.get())")
        }
    }

    @Test func `a stream is read as it is written`() async throws {
        // Tasks share the stream, which nothing declares.
        try await expectSameOutcomes(["[1, 2]", "[2, 1]"], declared: false) { _, note in
            let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
            let reader = Task {
                var items: [Int] = []
                for await item in stream { items.append(item) }
                return items
            }
            await withTaskGroup { group in
                for item in 1...2 { group.addTask { continuation.yield(item) } }
            }
            continuation.finish()
            note("\(await reader.value)")
        }
    }

    // MARK: Time and cancellation

    @Test func `a sleep ends or is cancelled`() async throws {
        try await expectSameOutcomes(["slept", "cancelled"]) { _, note in
            let sleeper = Task {
                do {
                    try await Task.sleep(for: .seconds(1))
                    return "slept"
                } catch {
                    return "cancelled"
                }
            }
            let canceller = Task { sleeper.cancel() }
            note(await sleeper.value)
            await canceller.value
        }
    }

    private enum Ever: CaseIterable {
        case seconds, nanoseconds, unsignedNanoseconds

        func sleep() async throws {
            switch self {
            case .seconds: try await Task.sleep(for: .seconds(Int64.max))
            case .nanoseconds: try await Task.sleep(for: .nanoseconds(Int64.max))
            case .unsignedNanoseconds: try await Task.sleep(nanoseconds: .max)
            }
        }
    }

    @Test(arguments: Ever.allCases) private func `a sleep may be nearly for ever`(_ ever: Ever)
        async throws
    {
        let report = try await run { _ in
            // The explored clock ends with the last of them.
            for _ in 0..<3 { try await ever.sleep() }
        }
        #expect(report.failed == 0 && report.coverage == .all, "\(report)")
    }

    @Test func `timers fire in the order of their deadlines`() async throws {
        try await expectSameOutcomes(["[1, 2]"]) { _, note in
            let log = Log()
            async let late: Void = {
                try? await Task.sleep(for: .seconds(2))
                await log.add(2)
            }()
            async let early: Void = {
                try? await Task.sleep(nanoseconds: 1_000_000)
                await log.add(1)
            }()
            await early
            await late
            let items = await log.snapshot()
            // The later one cannot fire first; its task may still be served first.
            note("\(items.sorted())")
        }
    }

    @Test func `where time is discrete it passes when nothing else can happen`() async throws {
        var options = ExplorationOptions()
        options.time = .discrete
        let report = try await run(
            { _ in
                let counter = Counter()
                let timer = Task {
                    try await Task.sleep(for: .milliseconds(1))
                    return await counter.get()
                }
                await counter.increment()
                let seen = try await timer.value
                expect(seen == 1, "time passed too early")
            }, options)
        #expect(report.failed == 0 && report.coverage == .bounded(by: "time"))
    }

    @Test func `the clock of a task is the explored one`() async throws {
        let report = try await run { _ in
            let start = WorldClock.now()
            try await WorldClock.sleep(until: start + .seconds(3_600))
            let passed = WorldClock.now() - start
            expect(passed == .seconds(3_600), "\(passed) have passed")
        }
        #expect(report.failed == 0)
    }

    // MARK: Tasks and threads

    @Test func `a thread resumes a task, and a task wakes a thread`() async throws {
        let report = try await run { world in
            let event = Event()
            world.thread("waiter") {
                event.point.wait(while: 0)
                event.seen.store(true, ordering: .sequentiallyConsistent)
            }
            await withCheckedContinuation { continuation in
                world.thread("resumer") { continuation.resume() }
            }
            event.point.word.store(1, ordering: .sequentiallyConsistent)
            event.point.wake(1)
            world.afterwards { expect(event.seen.load(ordering: .relaxed)) }
        }
        #expect(report.failed == 0 && report.coverage == .all)
    }

    private final class Event: Sendable {
        let point = WaitPoint()
        let seen = Substrate.Atomic(false)
        let lock = Substrate.Mutex(0)
        func block() { point.wait(while: 0) }
    }

    @Test func `a job is preempted at an operation`() async throws {
        try await expectSameOutcomes(["1", "2"]) { _, note in
            let count = Shared()
            async let first: Void = count.add()
            async let second: Void = count.add()
            _ = await (first, second)
            note("\(count.value.load(ordering: .relaxed))")
        }
    }

    private final class Shared: Sendable {
        let value = Substrate.Atomic(0)
        init() { value.label("value") }
        // A lost update inside one job.
        @concurrent func add() async {
            let found = value.load(ordering: .sequentiallyConsistent)
            value.store(found + 1, ordering: .sequentiallyConsistent)
        }
    }

    @TaskLocal private static var local = 0

    @Test func `task-local values belong to their tasks`() async throws {
        let report = try await Self.$local.withValue(7) {
            try await explore("task-local values") { world in
                expect(Self.local == 7)
                let shared = Shared()
                world.thread("thread") {
                    expect(Self.local == 7, "a thread finds what its creator's test has")
                }
                async let first: Void = Self.$local.withValue(1) {
                    await shared.add()
                    expect(Self.local == 1)
                }
                async let second: Void = Self.$local.withValue(2) {
                    await shared.add()
                    expect(Self.local == 2)
                }
                _ = await (first, second)
                expect(Self.local == 7)
            }
        }
        #expect(report.failed == 0)
    }

    // MARK: Verdicts

    private func verdict(_ program: @escaping AsyncProgram) async throws -> (Verdict.Kind, String)?
    {
        let report = try await Task.detached { try Exploration("verdict", program).run() }.value
        return report.counterexample.map {
            (
                $0.verdict.kind,
                TraceRenderer(TraceStyle(title: "t", location: "", replay: "")).render($0)
            )
        }
    }

    @Test func `a task that nobody resumes`() async throws {
        let found = try await verdict { _ in
            await withCheckedContinuation { (_: CheckedContinuation<Void, Never>) in }
        }
        #expect(found?.0 == .neverResumed)
        #expect(found?.1.contains("TaskTests.swift") == true, "\(found?.1 ?? "")")
    }

    @Test func `a task that is left behind`() async throws {
        let found = try await verdict { _ in
            Task(name: "left behind") { try await Task.sleep(for: .seconds(1)) }
            Task(name: "stuck") {
                await withCheckedContinuation { (_: CheckedContinuation<Void, Never>) in }
            }
        }
        #expect(found?.0 == .leakedTask)
        #expect(found?.1.contains("stuck is suspended") == true, "\(found?.1 ?? "")")
    }

    @Test func `a continuation that is resumed twice`() async throws {
        let checked = try await verdict { _ in
            await withCheckedContinuation { continuation in
                Task { continuation.resume() }
                Task { continuation.resume() }
            }
        }
        #expect(checked?.0 == .resumedTwice)
        let unchecked = try await verdict { _ in
            unsafe await withUnsafeContinuation { continuation in
                unsafe continuation.resume()
                unsafe continuation.resume()
            }
        }
        #expect(unchecked?.0 == .resumedTwice)
    }

    @Test func `a job that blocks its thread`() async throws {
        let found = try await verdict { _ in
            let event = Event()
            let blocked = Task(name: "blocker") { event.block() }
            event.point.word.store(1, ordering: .sequentiallyConsistent)
            event.point.wake(1)
            await blocked.value
        }
        #expect(found?.0 == .blockingTask)
        #expect(found?.1.contains("blocker waits on") == true, "\(found?.1 ?? "")")
    }

    @Test func `a deadlock between a task and a thread`() async throws {
        let found = try await verdict { world in
            let event = Event()
            world.thread("thread") { event.point.wait(while: 0) }
            // It would wake the thread, but waits for a continuation that only the thread could
            // resume.
            await withCheckedContinuation { (_: CheckedContinuation<Void, Never>) in }
            event.point.word.store(1, ordering: .sequentiallyConsistent)
        }
        #expect(found?.0 == .deadlock)
        #expect(
            found?.1.contains("main is suspended") == true
                && found?.1.contains("thread waits on") == true)
    }

    @Test func `a trap in a task`() async throws {
        let found = try await verdict { _ in
            let numbers = [1]
            let index = Shared()
            await index.add()
            _ = numbers[index.value.load(ordering: .relaxed)]
        }
        #expect(found?.0 == .trap)
    }

    @Test func `an error of the main task`() async throws {
        struct Wrong: Error {}
        let found = try await verdict { _ in throw Wrong() }
        #expect(found?.0 == .expectation && found?.1.contains("Wrong") == true)
    }

    @Test func `the trace names tasks, awaits and actors`() async throws {
        let found = try await verdict { _ in
            let counter = Counter()
            let named = Task(name: "named") { await counter.increment() }
            let value = await counter.get()
            await named.value
            expect(value == 0, "it came first")
        }
        let text = found?.1 ?? ""
        #expect(found?.0 == .expectation)
        for part in ["named", "queues for Counter", "it came first"] {
            #expect(text.contains(part), "\(text)")
        }
        if !isOptimised {
            #expect(text.contains("let value = await counter.get()"), "\(text)")
        }
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 100 })
    }

    // MARK: Isolated deinits

    @globalActor private actor Elsewhere {
        static let shared = Elsewhere()
    }

    private final class Tally: Sendable {
        private let count = Substrate.Atomic(0)
        func add() { _ = count.wrappingAdd(1, ordering: .relaxed) }
    }

    /// Ends on the main actor, and with its end begins the end of one that ends elsewhere.
    @MainActor private final class Link: Sendable {
        private let next: FarLink?
        private let tally: Tally
        nonisolated init(_ tally: Tally, _ next: FarLink?) {
            self.tally = tally
            self.next = next
        }
        isolated deinit { tally.add() }
    }

    @Elsewhere private final class FarLink: Sendable {
        private let next: Link?
        private let tally: Tally
        nonisolated init(_ tally: Tally, _ next: Link?) {
            self.tally = tally
            self.next = next
        }
        isolated deinit { tally.add() }
    }

    /// Holds memory, more in each execution: what is freed has another address each time.
    private final class Ballast: Sendable {
        private let blocks = Synchronization.Mutex<[[UInt8]]>([])
        func grow() {
            blocks.withLock { blocks in
                for size in [32, 48, 64, 80, 96] where (blocks.count + size / 16) % 3 != 0 {
                    blocks.append(Array(repeating: 0, count: size))
                }
            }
        }
    }

    @Test func `isolated ends follow one another`() async throws {
        let ballast = Ballast()
        let report = try await run { _ in
            ballast.grow()
            let tally = Tally()
            async let one: Void = { _ = Link(tally, FarLink(tally, Link(tally, nil))) }()
            async let other: Void = { _ = Link(tally, FarLink(tally, Link(tally, nil))) }()
            _ = await (one, other)
        }
        #expect(report.verdicts.isEmpty && report.coverage == .all, "\(report)")
    }

    // MARK: Replay

    @Test func `a token replays tasks`() async throws {
        let program: AsyncProgram = { _ in
            let counter = Counter()
            let task = Task { Task.isCancelled }
            task.cancel()
            let value = await task.value
            await counter.increment()
            expect(value, "it ran before it was cancelled")
        }
        let report = try await run(program)
        let token = try #require(report.counterexample?.token)
        let again = try await Task.detached {
            try Exploration("tasks", program).replay(ReplayToken("\(token)"))
        }.value
        #expect(again?.verdict.kind == .expectation)
        #expect(again?.token == token)
    }

    @Test func `an asynchronous exploration inside another is refused`() async throws {
        let found = try await verdict { _ in try await explore("inner") { _ in await Task.yield() }
        }
        #expect(found?.1.contains("cannot be started") == true, "\(found?.1 ?? "")")
    }
}
