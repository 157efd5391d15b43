// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

// What the tests in this folder have in common. Each tells a bug of a public project anew: the
// broken form must end in its verdict, with a trace that shows a stranger the cause, and the
// repaired form must be verified.

/// Explores a broken form, which must end in `kind`. Returns the table that a reader sees.
@discardableResult
func expectFound(
    _ kind: Verdict.Kind, shows steps: [String] = [], columns: [String] = [],
    location: SourceLocation = #_sourceLocation, _ body: @escaping (ExploredWorld) throws -> Void
) throws -> String {
    let report = try Exploration("broken", body).run()
    return judged(report, kind, steps, columns, location)
}

/// Explores a broken form with tasks, as above.
@discardableResult
func expectFound(
    _ kind: Verdict.Kind, shows steps: [String] = [], columns: [String] = [],
    location: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable (ExploredWorld) async throws -> Void
) async throws -> String {
    let report = try await Task.detached { try Exploration("broken", body).run() }.value
    return judged(report, kind, steps, columns, location)
}

private func judged(
    _ report: ExplorationReport, _ kind: Verdict.Kind, _ steps: [String], _ columns: [String],
    _ location: SourceLocation
) -> String {
    let found = report.counterexample
    let text = found?.text ?? "nothing was found: \(report.coverage)"
    #expect(found?.verdict.kind == kind, "\(text)", sourceLocation: location)
    // A narrow column cuts what its rows say.
    let rows = found?.trace.rows.flatMap { [$0.text, $0.state] } ?? []
    let sources = found?.trace.sources.compactMap(\.text) ?? []
    let words = ([text, found?.trace.sentence ?? ""] + rows + sources).joined(separator: "\n")
    for step in steps {
        #expect(words.contains(step), "\(step) is not in\n\(text)", sourceLocation: location)
    }
    for column in columns {
        #expect(
            found?.trace.threads.contains(column) == true, "no column \(column) in\n\(text)",
            sourceLocation: location)
    }
    #expect(
        text.split(separator: "\n").allSatisfy { $0.count <= 100 }, "\(text)",
        sourceLocation: location)
    return text
}

/// Explores a repaired form: nothing may be found, and all must have been seen. With a limit, that
/// many executions.
func expectVerified(
    executions: Int = .max, location: SourceLocation = #_sourceLocation,
    _ body: @escaping (ExploredWorld) throws -> Void
) throws {
    var options = ExplorationOptions()
    options.executionLimit = executions
    judge(try Exploration("repaired", options: options, body).run(), executions, location)
}

/// Explores a repaired form with tasks, as above.
func expectVerified(
    executions: Int = .max, location: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable (ExploredWorld) async throws -> Void
) async throws {
    var options = ExplorationOptions()
    options.executionLimit = executions
    let settled = options
    let report = try await Task.detached {
        try Exploration("repaired", options: settled, body).run()
    }
    .value
    judge(report, executions, location)
}

private func judge(_ report: ExplorationReport, _ limit: Int, _ location: SourceLocation) {
    #expect(
        report.failed == 0, "\(report.counterexample?.text ?? "")", sourceLocation: location)
    let coverage: ExplorationReport.Coverage =
        report.executions < limit ? .all : .bounded(by: "\(limit) executions")
    #expect(
        report.coverage == coverage, "\(report.defect ?? "")", sourceLocation: location)
}
