// SPDX-License-Identifier: Apache-2.0

public import Explorer
public import Testing

/// Runs a test through the interleavings of its tasks and threads.
///
///     @Test(.everyInterleaving) func withdrawTwice() async throws {
///         let account = Account(balance: 100)
///         async let first = account.withdraw(70)
///         async let second = account.withdraw(70)
///         #expect(await [first, second].count { $0 } == 1)
///     }
///
/// The function runs once for each interleaving that can differ. `#expect` and `#require` work as
/// ever, on every task and thread that the test starts (but a detached task, which inherits
/// nothing). The first interleaving that goes wrong is searched again for one with the fewest
/// preemptions and recorded as one issue, at the line that failed, with the schedule as a table and
/// attached as a file.
///
/// For functions, parameterized or not, synchronous or not, and for suites. Of several traits of
/// this kind the innermost counts. Each execution must make its objects afresh: what outlives the
/// function lets one interleaving influence another.
public struct ExplorationTrait: TestTrait, SuiteTrait, TestScoping {
    var options = ExplorationOptions()
    var token: String?

    /// All functions of a suite.
    public var isRecursive: Bool { true }

    /// What jobs of tasks are taken to share.
    public func reduction(_ reduction: ExplorationOptions.Reduction) -> Self {
        var trait = self
        trait.options.reduction = reduction
        return trait
    }

    /// When time passes.
    public func time(_ time: ExplorationOptions.Time) -> Self {
        var trait = self
        trait.options.time = time
        return trait
    }

    /// Explores for at most this many seconds. Coverage is *bounded* where that was not enough.
    public func seconds(_ limit: Double) -> Self {
        var trait = self
        trait.options.secondsLimit = limit
        return trait
    }

    /// Explores at most this many executions. Coverage is then *bounded* where there are more.
    public func executions(_ limit: Int) -> Self {
        var trait = self
        trait.options.executionLimit = limit
        return trait
    }

    /// The trait with the smallest of its limits and those around the test.
    private func limited(by traits: [any Trait]) -> Self {
        var trait = self
        for case let limit as ExplorationLimit in traits {
            trait.options.secondsLimit = min(trait.options.secondsLimit, limit.seconds)
            trait.options.executionLimit = min(trait.options.executionLimit, limit.executions)
        }
        return trait
    }

    /// Skips the test, with a sentence, on a platform on which nothing can be explored.
    public func prepare(for test: Test) async throws {
        guard let obstacle = Exploration.missingPlatform else { return }
        try await ConditionTrait.disabled(Comment(rawValue: obstacle)).prepare(for: test)
    }

    public func provideScope(
        for test: Test, testCase: Test.Case?,
        performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        // Inside an outer one of these the work is done already; it has taken the innermost's
        // options.
        guard !Exploration.isRunningHere else { return try await function() }
        let innermost = test.traits.compactMap { $0 as? Self }.last ?? self
        let run = ExploredTest(test, testCase, innermost.limited(by: test.traits))
        await withoutActuallyEscaping(function) { function in
            await run.explore(function)
            HeldFunction.takeBack(function)
        }
        run.conclude()
    }
}

extension Trait where Self == ExplorationTrait {
    /// Every interleaving that can differ.
    public static var everyInterleaving: Self { Self() }

    /// Interleavings picked by `strategy`, at most `limit` of them.
    public static func interleavings(
        limit: Int? = nil, strategy: ExplorationOptions.Strategy = .optimal
    ) -> Self {
        var trait = Self()
        trait.options.strategy = strategy
        trait.options.executionLimit = limit ?? .max
        return trait
    }

    /// The one schedule that a failing test printed.
    public static func replay(_ token: String) -> Self {
        var trait = Self()
        trait.token = token
        return trait
    }
}
