// SPDX-License-Identifier: Apache-2.0

public import Explorer

/// One form of one problem that a source text tells: a program, and what exploring it must find.
public struct Story: Sendable {
    public enum Form: String, Sendable, Codable {
        case broken, repaired
    }

    /// Identifies the story; a repaired form is named after its broken one.
    public let name: String
    /// The source text it is from.
    public let text: String
    public let form: Form
    /// The story in a few words.
    public let title: String
    /// What goes wrong; nil when nothing does.
    public let expected: Verdict.Kind?
    /// What else the same mistake leads to in other schedules.
    let alsoExpected: Set<Verdict.Kind>
    /// Whether memory that was freed is allocated again.
    private let reusesAddresses: Bool
    private let program: @Sendable (ExploredWorld) -> Void

    init(
        _ name: String, text: String, _ form: Form, _ title: String,
        expecting expected: Verdict.Kind? = nil,
        orElse alsoExpected: Set<Verdict.Kind> = [],
        reusesAddresses: Bool = false,
        _ program: @escaping @Sendable (ExploredWorld) -> Void
    ) {
        self.name = name
        self.text = text
        self.form = form
        self.title = title
        self.expected = expected
        self.alsoExpected = alsoExpected
        self.reusesAddresses = reusesAddresses
        self.program = program
    }

    /// Every story, in the order of the catalogue.
    public static let all: [Story] = EventfdNotifierRace.stories + WorkqueueSelfFree.stories

    /// The stories that a name stands for: one, or all of a text's.
    public static func named(_ name: String) -> [Story] {
        all.filter { $0.name == name || $0.text == name }
    }

    /// The exploration of this story.
    public func exploration(options: ExplorationOptions = ExplorationOptions()) -> Exploration {
        var options = options
        options.soughtVerdict = expected
        options.reusesAddresses = reusesAddresses
        return Exploration(name, options: options, program)
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
