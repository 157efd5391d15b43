// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Synchronization
import Testing

/// Expects that a test is found to be broken, in one way. Take the trait away to see what is found.
///
///     @Test(.finds(.expectation, at: "await approval"), .everyInterleaving) func broken() async throws { … }
///
/// It stands before the trait that explores, whose issue it takes. A test in which nothing is
/// found, or something else, fails.
struct Finds: TestTrait, TestScoping {
    let kind: Verdict.Kind
    let code: String

    func provideScope(
        for test: Test, testCase: Test.Case?,
        performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        let found = Mutex<[String]>([])
        let catching = IssueHandlingTrait.compactMapIssues { issue in
            found.withLock { $0.append(issue.comments.map(\.rawValue).joined(separator: "\n")) }
            return nil
        }
        try await catching.provideScope(for: test, testCase: testCase, performing: function)
        let texts = found.withLock { $0 }
        #expect(texts.count == 1, "exactly one issue: the counterexample")
        for text in texts {
            #expect(text.contains("  \(kind.rawValue): "), "the verdict")
            #expect(text.contains(code), "the schedule leads through this code")
        }
    }
}

extension Trait where Self == Finds {
    /// Expects that exploring finds `kind`, with a schedule that leads through `code`.
    static func finds(_ kind: Verdict.Kind, at code: String) -> Self {
        Self(kind: kind, code: code)
    }
}
