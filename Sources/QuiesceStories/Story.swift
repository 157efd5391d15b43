// SPDX-License-Identifier: Apache-2.0

public import Explorer

/// A program under a name, and what exploring it must find: a catalogue's unit.
///
/// A broken form tells a mistake and names the verdict that it leads to. A repaired form names no
/// verdict: exploring it must find nothing, over all interleavings.
public struct Story: Sendable {
    public enum Form: String, Sendable, Codable {
        case broken, repaired
    }

    /// Identifies the story on the command line and in replay tokens.
    ///
    /// By custom a repaired form is named after its broken one, with `-repaired` behind.
    public let name: String
    /// What the story is from, such as a report or a component: stories with the same text stand
    /// together, and its name stands for all of them.
    public let text: String
    public let form: Form
    /// The story in a few words; a table shows the first 40 characters.
    public let title: String
    /// What goes wrong; nil when nothing does.
    public let expected: Verdict.Kind?
    /// What else the same mistake leads to in other schedules.
    public let alsoExpected: Set<Verdict.Kind>
    /// Whether memory that was freed is allocated again, as `ExplorationOptions.reusesAddresses`.
    public let reusesAddresses: Bool
    private let makeExploration: @Sendable (String, ExplorationOptions) -> Exploration

    /// A story of threads: `program` is the main thread of each execution.
    ///
    /// - Parameters:
    ///   - expected: the verdict that exploring the story must find; nil for none.
    ///   - alsoExpected: verdicts that other schedules may lead to.
    ///   - reusesAddresses: whether memory that was freed is allocated again.
    public init(
        _ name: String, text: String, _ form: Form, _ title: String,
        expecting expected: Verdict.Kind? = nil,
        orElse alsoExpected: Set<Verdict.Kind> = [],
        reusesAddresses: Bool = false,
        _ program: @escaping @Sendable (ExploredWorld) throws -> Void
    ) {
        self.name = name
        self.text = text
        self.form = form
        self.title = title
        self.expected = expected
        self.alsoExpected = alsoExpected
        self.reusesAddresses = reusesAddresses
        makeExploration = { Exploration($0, options: $1, program) }
    }

    /// A story of tasks: `program` is the main task of each execution.
    ///
    /// - Parameters:
    ///   - expected: the verdict that exploring the story must find; nil for none.
    ///   - alsoExpected: verdicts that other schedules may lead to.
    ///   - reusesAddresses: whether memory that was freed is allocated again.
    public init(
        _ name: String, text: String, _ form: Form, _ title: String,
        expecting expected: Verdict.Kind? = nil,
        orElse alsoExpected: Set<Verdict.Kind> = [],
        reusesAddresses: Bool = false,
        _ program: @escaping @Sendable (ExploredWorld) async throws -> Void
    ) {
        self.name = name
        self.text = text
        self.form = form
        self.title = title
        self.expected = expected
        self.alsoExpected = alsoExpected
        self.reusesAddresses = reusesAddresses
        makeExploration = { Exploration($0, options: $1, program) }
    }

    /// The exploration of this story, which looks for the shortest schedule of the expected
    /// verdict.
    public func exploration(options: ExplorationOptions = ExplorationOptions()) -> Exploration {
        var options = options
        options.soughtVerdict = expected
        options.reusesAddresses = reusesAddresses
        return makeExploration(name, options)
    }

    /// Whether a report is what this story must lead to: verified over all interleavings, or the
    /// break that it tells.
    public func isAsExpected(_ report: ExplorationReport) -> Bool {
        guard report.blocked == 0, report.coverage == .all else { return false }
        guard let expected else { return report.failed == 0 }
        let found = Set(report.verdicts.keys)
        return found.contains(expected) && found.isSubset(of: alsoExpected.union([expected]))
    }

    /// What was found, in a word or three.
    public func found(in report: ExplorationReport) -> String {
        if let expected, report.verdicts[expected] != nil { return expected.rawValue }
        return report.result
    }
}
