// SPDX-License-Identifier: Apache-2.0

import Explorer
import Testing

/// Explores `body` finely and to the end: every interleaving, no finding.
@discardableResult
func verify(
    _ name: String, location: SourceLocation = #_sourceLocation, _ body: @escaping (ExploredWorld) throws -> Void
) throws -> ExplorationReport {
    var options = ExplorationOptions()
    options.secondsLimit = 20
    let report = try Exploration(name, options: options, body).run()
    #expect(report.coverage == .all, "\(report.counterexample?.text ?? "")", sourceLocation: location)
    #expect(report.failed == 0 && report.blocked == 0 && report.abandonedThreads == 0, sourceLocation: location)
    return report
}

/// A program with one operation changed must fail; and the change must have been met.
func expectCaught(
    _ mutation: Mutation, location: SourceLocation = #_sourceLocation,
    by bodies: [(ExploredWorld) throws -> Void]
) throws {
    var options = ExplorationOptions()
    options.mutation = mutation
    options.minimizes = false
    options.stepLimit = 1_000
    var met = 0
    for body in bodies {
        let report = try Exploration("mutant", options: options, body).run()
        met += report.mutations
        if report.failed > 0 {
            #expect(met > 0, sourceLocation: location)
            return
        }
    }
    Issue.record(
        "\(mutation): \(met == 0 ? "no operation is there to change" : "nobody noticed")", sourceLocation: location)
}

extension Counterexample {
    var text: String { TraceRenderer(TraceStyle(title: "counterexample", location: "", replay: "")).render(self) }
}
