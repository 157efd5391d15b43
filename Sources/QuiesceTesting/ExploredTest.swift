// SPDX-License-Identifier: Apache-2.0

import Explorer
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#elseif canImport(Darwin)
    import Darwin
#endif

/// One test function, or one case of a parameterized one, that is explored.
final class ExploredTest: Sendable {
    private let test: Test
    private let testCase: Test.Case?
    private let trait: ExplorationTrait
    /// Tells the test in tokens: where it is in the file does not matter, with which arguments it
    /// runs does.
    private let identity: String
    private let outcome = Synchronization.Mutex(Outcome())

    private struct Outcome: Sendable {
        var report: ExplorationReport?
        var counterexample: Counterexample?
        var failure: String?
        /// How the failure that an earlier run kept ended this time.
        var kept: KeptFailure.Outcome?
        /// Where the last expectation failed: in the end, that of the counterexample.
        var place: SourceLocation?
        var warnings: [String: Issue] = [:]
    }

    init(_ test: Test, _ testCase: Test.Case?, _ trait: ExplorationTrait) {
        self.test = test
        self.testCase = testCase
        self.trait = trait
        identity = ExploredTest.identity(of: test, testCase)
    }

    private static func identity(of test: Test, _ testCase: Test.Case?) -> String {
        let path = "\(test.id)".split(separator: "/").filter { !$0.contains(".swift:") }.joined(
            separator: "/")
        guard let testCase, testCase.isParameterized else { return path }
        // The arguments of a case have no public name.
        let arguments = Mirror(reflecting: testCase).children.first {
            $0.label?.contains("kind") == true
        }?.value
        return path + "(\(arguments.map { ExploredTest.values(in: $0, depth: 0) } ?? ""))"
    }

    /// The values that a case was made with, wherever they are in it.
    private static func values(in part: Any, depth: Int) -> String {
        guard depth < 6 else { return "" }
        return Mirror(reflecting: part).children.map { child in
            child.label == "value" ? "\(child.value)," : values(in: child.value, depth: depth + 1)
        }.joined()
    }

    // MARK: Exploring

    func explore(_ function: @escaping @Sendable @concurrent () async throws -> Void) async {
        let capturing = IssueHandlingTrait.compactMapIssues { issue in self.capture(issue) }
        do {
            try await capturing.provideScope(for: test, testCase: testCase) {
                try await ExploringThreads.run { try self.run(function) }
            }
        } catch {
            outcome.withLock { $0.failure = "\(error)" }
        }
    }

    private func run(_ function: @escaping @Sendable @concurrent () async throws -> Void) throws {
        let progress = ProgressLine()
        defer { progress.end() }
        var options = trait.options
        options.progress = progress.show
        let exploration = Exploration(identity, options: options) { _ in try await function() }
        if let token = try replayToken() {
            let counterexample = try exploration.replay(token)
            outcome.withLock { outcome in
                outcome.counterexample = counterexample
                if counterexample == nil, trait.token != nil {
                    outcome.failure = "the schedule of the token ends well"
                }
            }
            return
        }
        let kept = KeptFailure(of: identity)
        if let result = try kept.replay(exploration) {
            outcome.withLock { $0.kept = result }
            if case .failsAgain(let counterexample) = result {
                return outcome.withLock { $0.counterexample = counterexample }
            }
        }
        let report = try exploration.run()
        if let counterexample = report.counterexample { kept.keep(counterexample) }
        outcome.withLock { outcome in
            outcome.report = report
            outcome.counterexample = report.counterexample
        }
    }

    /// What to replay: what the trait says, else what the environment says if that is about this
    /// test.
    private func replayToken() throws -> ReplayToken? {
        if let text = trait.token {
            let token = try ReplayToken(text)
            guard token.belongs(to: identity) else { throw WrongToken() }
            return token
        }
        return try ReplayToken.requested(for: identity)
    }

    private struct WrongToken: Error, CustomStringConvertible {
        var description: String {
            "the replay token was made for another test, or for other arguments"
        }
    }

    /// What the test records while it is explored says how the execution ended, not how the test
    /// did.
    private func capture(_ issue: Issue) -> Issue? {
        guard Exploration.isRunningHere else { return issue }
        if issue.severity < .error {
            // Once is enough.
            outcome.withLock { $0.warnings["\(issue)"] = issue }
            return nil
        }
        let place = issue.sourceLocation ?? test.sourceLocation
        let isFirst = Exploration.noteFailedExpectation(path: place.filePath, line: place.line) {
            ExploredTest.words(issue)
        }
        if isFirst { outcome.withLock { $0.place = place } }
        return nil
    }

    private static func words(_ issue: Issue) -> String {
        if case .errorCaught(let error) = issue.kind { return "caught \(error)" }
        return ExploredTest.bare("\(issue)")
    }

    /// What the issue says, without the words that every one of its kind has.
    private static func bare(_ text: String) -> String {
        var text = text[...]
        for prefix in ["Expectation failed: "] where text.hasPrefix(prefix) {
            text = text.dropFirst(prefix.count)
        }
        return text.split(separator: " (error)", omittingEmptySubsequences: false).joined()
    }

    // MARK: Concluding

    /// Records what came of it, as an issue of the test.
    func conclude() {
        let outcome = outcome.withLock { $0 }
        for warning in outcome.warnings.values.sorted(by: { "\($0)" < "\($1)" }) {
            Issue.record(
                Comment(rawValue: "\(warning)"), severity: warning.severity,
                sourceLocation: warning.sourceLocation ?? test.sourceLocation)
        }
        if let kept = outcome.kept { print("\(identity): \(kept.sentence)") }
        if let counterexample = outcome.counterexample { record(counterexample, outcome) }
        if let failure = outcome.failure {
            Issue.record(Comment(rawValue: failure), sourceLocation: test.sourceLocation)
        }
        if let report = outcome.report, let bound = unexpectedBound(of: report) {
            Issue.record(
                "not every interleaving was explored: coverage is bounded by \(bound)",
                severity: .warning,
                sourceLocation: test.sourceLocation)
        }
        if let report = outcome.report, unsafe getenv("QUIESCE_STATISTICS") != nil {
            let abandoned = report.abandonedThreads
            print(
                "\(identity): \(report.result), \(report.executions) executions, \(report.coverage), "
                    + (abandoned > 0 ? "\(abandoned) threads abandoned, " : "")
                    + "\(report.seconds) s")
        }
    }

    /// What kept the exploration from seeing all, if nobody asked for less.
    private func unexpectedBound(of report: ExplorationReport) -> String? {
        let options = trait.options
        guard report.counterexample == nil, options.strategy == .optimal,
            options.executionLimit == .max, options.secondsLimit == .infinity,
            options.reduction == .sound, options.time == .any,
            case .bounded(let bound) = report.coverage
        else { return nil }
        return bound
    }

    private func record(_ counterexample: Counterexample, _ outcome: Outcome) {
        let isExpectation = counterexample.verdict.kind == .expectation
        let place = isExpectation ? outcome.place ?? test.sourceLocation : test.sourceLocation
        let name = test.displayName ?? test.name
        let file = test.sourceLocation.fileName
        let style = TraceStyle(
            title: name, location: "\(file):\(test.sourceLocation.line)",
            replay: "QUIESCE_REPLAY=\(counterexample.token) swift test --filter \(filter)")
        var text = TraceRenderer(style).render(counterexample)
        if let kept = outcome.kept, case .failsAgain = kept { text = "\(kept.sentence)\n\n\(text)" }
        Attachment.record(
            text, named: "\(test.name.prefix { $0 != "(" }).trace.txt", sourceLocation: place)
        Issue.record(Comment(rawValue: text), sourceLocation: place)
    }

    /// What selects this test.
    private var filter: String {
        let name = identity.split(separator: "/").suffix(2).joined(separator: "/").prefix {
            $0 != "("
        }
        // A raw identifier stands between backticks, which a shell would take for its own: any
        // character will do.
        let plain = name.map { $0 == "`" ? "." : "\($0)" }.joined()
        return plain.allSatisfy { $0.isLetter || $0.isNumber || "/._".contains($0) }
            ? plain : "'\(plain)'"
    }
}
