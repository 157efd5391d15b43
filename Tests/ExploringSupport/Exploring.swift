// SPDX-License-Identifier: Apache-2.0

package import Explorer
package import Substrate
package import Testing

package typealias Program = @Sendable (ExploredWorld) -> Void

/// How many executions a test explores at most: eight times what the largest has. One that means to
/// explore all, and has more, fails.
package let executionsOfATest = 1_000_000

/// Explores `body` finely and to the end: every interleaving, no finding. With a bound, those with
/// so many preemptions.
@discardableResult
package func verify(
    _ name: String, preemptions: Int? = nil, granularity: ExplorationOptions.Granularity = .fine,
    location: SourceLocation = #_sourceLocation, _ body: @escaping (ExploredWorld) throws -> Void
) throws -> ExplorationReport {
    var options = ExplorationOptions()
    options.granularity = granularity
    options.executionLimit = executionsOfATest
    if let preemptions { options.strategy = .preemptions(preemptions) }
    let report = try Exploration(name, options: options, body).run()
    let coverage =
        preemptions.map {
            ExplorationReport.Coverage.bounded(by: $0 == 1 ? "1 preemption" : "\($0) preemptions")
        }
        ?? ExplorationReport.Coverage.all
    #expect(
        report.coverage == coverage, "\(report.defect ?? report.counterexample?.text ?? "")",
        sourceLocation: location)
    // What an operation touches may depend on what came before it; then some executions turn out to
    // repeat others.
    let isOptimal = report.blocked == 0 || granularity == .coarse
    #expect(
        report.failed == 0 && isOptimal && report.abandonedThreads == 0,
        "failed \(report.failed), blocked \(report.blocked), abandoned \(report.abandonedThreads)",
        sourceLocation: location)
    return report
}

/// Explores tasks to the end, finely if nothing else is said. They share nothing but Substrate's
/// objects and one another, which is declared.
@discardableResult
package func verifyTasks(
    _ name: String, preemptions: Int? = nil, executions: Int = .max,
    granularity: ExplorationOptions.Granularity = .fine,
    location: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable (ExploredWorld) async throws -> Void
) async throws -> ExplorationReport {
    var options = ExplorationOptions()
    options.granularity = granularity
    options.executionLimit = min(executions, executionsOfATest)
    options.reduction = .declared
    if let preemptions { options.strategy = .preemptions(preemptions) }
    let settled = options
    let report = try await Task.detached { try Exploration(name, options: settled, body).run() }
        .value
    let coverage =
        executions < .max
        ? "\(executions) executions"
        : preemptions.map { "\($0) preemptions" } ?? "what jobs are declared to share"
    // With fewer executions than the limit it is all, and where there is but one task nothing has
    // to be declared.
    #expect(
        [.bounded(by: coverage), .bounded(by: "what jobs are declared to share"), .all].contains(
            report.coverage),
        "\(report.defect ?? report.counterexample?.text ?? "")",
        sourceLocation: location)
    #expect(report.failed == 0 && report.abandonedThreads == 0, sourceLocation: location)
    return report
}

/// A program with one operation of what it tests changed.
package struct Mutant: Sendable, CustomTestStringConvertible {
    package let program: Program
    package let mutation: Mutation

    package init(
        _ program: @escaping Program, _ file: String, _ code: String, _ effect: Mutation.Effect,
        of kind: OperationKind? = nil
    ) {
        self.program = program
        mutation = Mutation(file, code, effect, of: kind)
    }

    package var testDescription: String { mutation.description }
}

/// A mutant must fail, and the changed operation must have been met.
package func expectCaught(
    _ mutant: Mutant, time: ExplorationOptions.Time = .any,
    location: SourceLocation = #_sourceLocation
) throws {
    var options = ExplorationOptions()
    options.granularity = .fine
    options.mutation = mutant.mutation
    options.time = time
    options.minimizes = false
    options.stepLimit = 1_000
    options.executionLimit = 20_000
    let report = try Exploration("mutant", options: options, mutant.program).run()
    #expect(report.mutations > 0, "no operation is there to change", sourceLocation: location)
    #expect(
        report.failed > 0, "nobody noticed in \(report.executions) executions",
        sourceLocation: location)
}

extension Counterexample {
    package var text: String {
        TraceRenderer(TraceStyle(title: "counterexample", location: "", replay: "")).render(self)
    }
}
