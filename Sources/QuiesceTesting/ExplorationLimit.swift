// SPDX-License-Identifier: Apache-2.0

public import Testing

/// Bounds how long explored tests explore.
///
///     @Suite(.explorationLimit(seconds: 10)) struct BankTests {
///         @Test(.everyInterleaving) func withdrawTwice() async throws { … }
///     }
///
/// For a test, or for a suite and then for each test in it. Of several the smallest counts. What a
/// limit keeps an exploration from seeing is not *verified*: its coverage is *bounded*.
public struct ExplorationLimit: TestTrait, SuiteTrait {
    var seconds = Double.infinity
    var executions = Int.max

    /// All functions of a suite.
    public var isRecursive: Bool { true }
}

extension Trait where Self == ExplorationLimit {
    /// At most this many seconds, and this many executions, for each explored test.
    public static func explorationLimit(seconds: Double? = nil, executions: Int? = nil) -> Self {
        ExplorationLimit(seconds: seconds ?? .infinity, executions: executions ?? .max)
    }
}
