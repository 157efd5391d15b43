// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceTesting
import Substrate
import Synchronization
import TestSupport
import Testing

/// Expects that the test ends with one issue, which it takes away.
struct Failing: TestTrait, SuiteTrait, TestScoping {
    var isRecursive: Bool { true }
    let line: Int?
    let texts: [String]

    func provideScope(
        for test: Test, testCase: Test.Case?,
        performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        let found = Synchronization.Mutex<[Issue]>([])
        let taking = IssueHandlingTrait.compactMapIssues { issue in
            found.withLock { $0.append(issue) }
            return nil
        }
        try await taking.provideScope(for: test, testCase: testCase, performing: function)
        let issues = found.withLock { $0 }
        guard issues.count == 1 else {
            Issue.record(
                "\(issues.count) issues instead of 1: \(issues)",
                sourceLocation: test.sourceLocation)
            return
        }
        let text = issues[0].comments.map(\.rawValue).joined()
        for part in texts where !text.contains(part) {
            Issue.record(
                "this does not say \"\(part)\":\n\(text)", sourceLocation: test.sourceLocation)
        }
        let wide = text.split(separator: "\n").filter {
            $0.count > 100 && !$0.contains("QUIESCE_REPLAY=")
        }
        #expect(wide.isEmpty, "lines of more than 100 columns")
        if let line { #expect(issues[0].sourceLocation?.line == test.sourceLocation.line + line) }
    }
}

extension Trait where Self == Failing {
    /// - Parameter line: at which line, counted from the test's own.
    static func fails(atLine line: Int? = nil, _ texts: String...) -> Self {
        Failing(line: line, texts: texts)
    }
}

actor Counter {
    var value = 0
    func get() -> Int { value }
    func set(_ new: Int) { value = new }
    func increment() { value += 1 }
}

@Suite struct TraitTests {
    @Test(.everyInterleaving) func `a test that holds passes`() async {
        let counter = Counter()
        async let first: Void = counter.increment()
        async let second: Void = counter.increment()
        _ = await (first, second)
        #expect(await counter.get() == 2)
    }

    private static func incrementTwice(_ counter: Counter) async {
        await withTaskGroup { group in
            for _ in 0..<2 {
                group.addTask {
                    let value = await counter.get()
                    await counter.set(value + 1)
                }
            }
        }
    }

    @Test(
        .fails(
            atLine: 9, "failed expectation", "await counter.get() == 2",
            "1 preemption (fewest possible)",
            "TraitTests.swift:", "let value = await counter.get()", "QUIESCE_REPLAY="),
        .everyInterleaving)
    func `a failed expectation is one issue at its line`() async {
        let counter = Counter()
        await Self.incrementTwice(counter)
        #expect(await counter.get() == 2)
    }

    @Test(.fails(atLine: 4, "failed expectation"), .everyInterleaving)
    func `a failed requirement is one issue at its line`() async throws {
        let counter = Counter()
        await Self.incrementTwice(counter)
        try #require(await counter.get() == 2, "both count")
        await counter.increment()
    }

    private struct Wrong: Error {}

    @Test(.fails("threw", "Wrong"), .everyInterleaving)
    func `a thrown error is an issue`() async throws { throw Wrong() }

    private static let suspension = isOptimised ? "await" : "await withCheckedContinuation"

    @Test(.fails("never resumed", suspension, "TraitTests.swift"), .everyInterleaving)
    func `a task that is never resumed`() async {
        await withCheckedContinuation { (_: CheckedContinuation<Void, Never>) in }
    }

    @Test(.fails("resumed twice"), .everyInterleaving) func `a second resume`() async {
        await withCheckedContinuation { continuation in
            Task(name: "one") { continuation.resume() }
            Task(name: "other") { continuation.resume() }
        }
    }

    @Test(.fails("leaked task", "consumer"), .everyInterleaving) func `a leaked task`() async {
        let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
        Task(name: "consumer") { for await _ in stream {} }
        continuation.yield(1)
        // Kept, so that the stream does not end.
        withExtendedLifetime(continuation) {}
        Self.kept.withLock { $0 = continuation }
    }

    private static let kept = Synchronization.Mutex<AsyncStream<Int>.Continuation?>(nil)

    @Test(.fails("trap"), .everyInterleaving) func `a crash costs only its own test`() async {
        let numbers = [1, 2, 3]
        let counter = Counter()
        async let _: Void = counter.increment()
        let value = await counter.get()
        #expect(numbers[value * 3] == 1)
    }

    // MARK: Threads

    /// A flag that one thread sets and another reads.
    private final class Flags: Sendable {
        let first = Substrate.Atomic(false)
        let second = Substrate.Atomic(false)
    }

    @Test(.everyInterleaving) func `a synchronous test explores its threads`() throws {
        let flags = Flags()
        let writer = try WorldThread.spawn(name: "writer") {
            flags.first.store(true, ordering: .releasing)
            flags.second.store(true, ordering: .releasing)
        }
        let (second, first) = (
            flags.second.load(ordering: .acquiring), flags.first.load(ordering: .acquiring)
        )
        #expect(first || !second)
        writer.join()
    }

    @Test(.fails(atLine: 5, "failed expectation", "reader"), .everyInterleaving)
    func `an expectation on a thread`() throws {
        let flags = Flags()
        let reader = try WorldThread.spawn(name: "reader") {
            let isSet = flags.first.load(ordering: .acquiring)
            #expect(!isSet, "it came first")
        }
        flags.first.store(true, ordering: .releasing)
        reader.join()
    }

    @Test(.everyInterleaving) func `a thread resumes a task`() async throws {
        let flags = Flags()
        await withCheckedContinuation { continuation in
            _ = try? WorldThread.spawn(name: "resumer") {
                flags.first.store(true, ordering: .relaxed)
                continuation.resume()
            }
        }
        let isSet = flags.first.load(ordering: .relaxed)
        #expect(isSet)
    }

    // MARK: Parameters, other traits

    @Test(.everyInterleaving, arguments: [1, 2, 3]) func `with parameters`(_ count: Int) async {
        let counter = Counter()
        await withTaskGroup { group in
            for _ in 0..<count { group.addTask { await counter.increment() } }
        }
        #expect(await counter.get() == count)
    }

    @Test(
        .fails("failed expectation"),
        .interleavings(limit: 50, strategy: .random(executions: 200, seed: 3)))
    func `at random`() async {
        let counter = Counter()
        await Self.incrementTwice(counter)
        #expect(await counter.get() == 2)
    }

    @Test(.interleavings(limit: 3)) func `a few`() async {
        let counter = Counter()
        await Self.incrementTwice(counter)
    }

    @Test(.everyInterleaving.reduction(.declared).time(.discrete)) func `with options`()
        async throws
    {
        async let short: Void = Task.sleep(for: .milliseconds(10))
        async let long: Void = Task.sleep(for: .seconds(1))
        _ = try await (short, long)
    }

    @Test(.fails("another test"), .replay("1f0c93a2:0x2,1,2x4:2539"))
    func `a token of another test is refused`() async {}

    @Test(.fails("malformed"), .replay("nonsense")) func `what is no token is refused`() async {}

    @MainActor @Test(.everyInterleaving) func `a test of the main actor`() async {
        MainActor.assertIsolated()
        let task = Task { @MainActor in 1 }
        #expect(await task.value == 1)
    }

    @Test(.everyInterleaving, .timeLimit(.minutes(5))) func `beside another trait`() async {
        await Task.yield()
    }
}

@Suite(.everyInterleaving) struct SuiteTraitTests {
    @Test func `every test of a suite`() async {
        let counter = Counter()
        async let first: Void = counter.increment()
        await counter.increment()
        await first
        #expect(await counter.get() == 2)
    }

    @Suite struct Inner {
        @Test(.interleavings(limit: 1)) func `the innermost counts`() async {
            let counter = Counter()
            async let first: Void = counter.increment()
            let value = await counter.get()
            await first
            // The first interleaving only.
            #expect(value == 0)
        }
    }
}

@Suite(.fails("failed expectation"), .everyInterleaving) struct FailingSuiteTests {
    @Test func `a failure in a suite`() async {
        let counter = Counter()
        async let first: Void = counter.increment()
        let value = await counter.get()
        await first
        #expect(value == 0)
    }
}

@Suite struct FunctionTests {
    @Test func `the function for other frameworks throws`() async throws {
        let failure = await #expect(throws: ExplorationFailure.self) {
            try await everyInterleaving { _ in
                let counter = Counter()
                async let first: Void = counter.increment()
                let value = await counter.get()
                await first
                expect(value == 0, "the increment came first")
            }
        }
        #expect(failure?.report.counterexample?.verdict.kind == .expectation)
        #expect(failure?.description.contains("the increment came first") == true)
    }

    @Test func `the function returns what it did`() async throws {
        let report = try await everyInterleaving { _ in
            let counter = Counter()
            async let first: Void = counter.increment()
            async let second: Void = counter.increment()
            _ = await (first, second)
            let value = await counter.get()
            expect(value == 2)
        }
        #expect(report.coverage == .all && report.executions > 1)
    }
}
