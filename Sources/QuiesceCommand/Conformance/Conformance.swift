// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import QuiesceStories

struct Conformance: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Run conformance cases: what the reference system answers, operation by operation.",
        discussion: """
            A folder stands for its *.json files; those whose suite nothing runs are skipped. Exits with 0 when every case \
            passes, with 1 when one does not.
            """)

    @Argument(
        help: ArgumentHelp("Files of cases, or folders of them.", valueName: "file-or-folder"))
    var paths: [String]

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let (suites, skipped) = try ConformanceFile.prepared(paths)
        for file in skipped { FileHandle.standardError.write(Data("skipped \(file)\n".utf8)) }
        let results = try suites.map { try $0.run() }
        if json {
            try printJSON(ConformanceSummary(results))
        } else {
            ConformanceTable(terminal: Terminal()).print(results)
        }
        if !results.allSatisfy(\.failed.isEmpty) { throw ExitCode(1) }
    }
}

/// What `conformance --json` prints.
struct ConformanceSummary: Encodable {
    struct Item: Encodable {
        let suite: String
        let passed: Int
        let failed: [String]
    }

    let suites: [Item]
    let passed: Int
    let failed: Int

    init(_ results: [SuiteResult]) {
        suites = results.map {
            Item(suite: $0.name, passed: $0.passed, failed: $0.failed.map(\.id))
        }
        passed = results.reduce(0) { $0 + $1.passed }
        failed = results.reduce(0) { $0 + $1.failed.count }
    }
}

/// What `conformance` prints: a line a suite, and four for each case that fails, at most 100
/// columns wide.
struct ConformanceTable {
    let terminal: Terminal

    func print(_ results: [SuiteResult]) {
        for result in results {
            let mark = result.failed.isEmpty ? terminal.green("✓") : terminal.red("✗")
            let name = result.name.shown(48)
            Swift.print("  \(mark) \(name.padded(32)) \(count(result.passed, result.failed.count))")
            for (id, mismatch) in result.failed {
                Swift.print("      " + id.shown(94))
                Swift.print("        " + mismatch.place.shown(92))
                Swift.print("          expected " + mismatch.expected.shown(81))
                Swift.print("          found    " + mismatch.found.shown(81))
            }
        }
        let summary = ConformanceSummary(results)
        let suites = "\(results.count) suite\(results.count == 1 ? "" : "s")"
        Swift.print("    ────────────")
        Swift.print("    \(suites), \(count(summary.passed, summary.failed))")
    }

    private func count(_ passed: Int, _ failed: Int) -> String {
        "\(passed) of \(passed + failed) case\(passed + failed == 1 ? "" : "s") passed"
    }
}
