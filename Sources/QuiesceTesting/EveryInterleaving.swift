// SPDX-License-Identifier: Apache-2.0

@_exported public import Explorer

/// Runs `body` through every interleaving of its tasks and threads that can differ, in any testing
/// framework.
///
///     func testWithdrawTwice() async throws {
///         try await everyInterleaving { _ in
///             let account = Account(balance: 100)
///             async let first = account.withdraw(70)
///             async let second = account.withdraw(70)
///             let count = await [first, second].count { $0 }
///             expect(count == 1)
///         }
///     }
///
/// Fail with the explorer's `expect`: what `XCTAssert` finds is recorded at once, for each
/// interleaving, and belongs to none.
///
/// - Returns: how many executions there were, and the coverage.
/// - Throws: `ExplorationFailure`, whose description is the schedule as a table.
@discardableResult
public func everyInterleaving(
    of name: String = #function, options: ExplorationOptions = ExplorationOptions(),
    file: StaticString = #filePath, line: UInt = #line,
    _ body: @escaping @Sendable (ExploredWorld) async throws -> Void
) async throws -> ExplorationReport {
    try await explore(name, options: options, file: file, line: line, body)
}
