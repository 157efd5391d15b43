// SPDX-License-Identifier: Apache-2.0

import QuiesceStories

/// What runs the cases of all suites whose names begin alike.
protocol ConformanceSuite: SendableMetatype {
    /// How the suites' names begin, up to the dot.
    static var prefix: String { get }

    /// Judges a case, and returns what runs it: nil when all was found as expected, else the first
    /// difference.
    ///
    /// - Throws: `BadInput` when the case makes no sense.
    static func prepare(_ testCase: ConformanceCase) throws -> () throws -> Mismatch?
}

/// Where a case did not go as expected.
struct Mismatch {
    /// The operation, and what it was done to.
    let place: String
    let expected: String
    let found: String

    init(_ step: ConformanceStep, on subject: String, found: [String: ConformanceValue]) {
        place = "\(step.title), on \(subject)"
        expected = step.expected.json
        self.found = found.json
    }
}

/// The suites that can be run.
enum ConformanceSuites {
    private static let all: [any ConformanceSuite.Type] = [
        ReferenceCountSuite.self, EventSuite.self, ScopeSuite.self,
    ]

    /// The suites that can be run, as a sentence names them.
    static var names: String { all.map { "\($0.prefix)*" }.joined(separator: ", ") }

    static func runner(of suite: String) -> (any ConformanceSuite.Type)? {
        all.first { suite.hasPrefix($0.prefix) }
    }
}

/// A suite whose cases are all judged, and not yet run.
struct PreparedSuite {
    let name: String
    let cases: [(id: String, run: () throws -> Mismatch?)]

    func run() throws -> SuiteResult {
        let failed = try cases.compactMap { id, run in try run().map { (id: id, mismatch: $0) } }
        return SuiteResult(name: name, passed: cases.count - failed.count, failed: failed)
    }
}

/// What the cases of a suite came to.
struct SuiteResult {
    let name: String
    let passed: Int
    let failed: [(id: String, mismatch: Mismatch)]
}
