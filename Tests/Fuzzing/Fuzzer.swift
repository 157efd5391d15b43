// SPDX-License-Identifier: Apache-2.0

package import Explorer
import Substrate
import Synchronization

/// A program made at random, which the explorer's strategies must agree on.
package protocol FuzzProgram: Sendable, CustomStringConvertible {
    func options(_ strategy: ExplorationOptions.Strategy) -> ExplorationOptions
    func exploration(_ options: ExplorationOptions, _ log: FuzzLog) -> Exploration
    /// Options with which every outcome is one of those that the optimal strategy finds with its
    /// own.
    var finely: ExplorationOptions? { get }
    /// Whether no execution of the optimal strategy repeats another.
    var isExact: Bool { get }
    /// Programs with something left out.
    var smaller: [Self] { get }
}

extension FuzzProgram {
    package var finely: ExplorationOptions? { nil }
    package var isExact: Bool { true }
}

/// SplitMix64: the same programs from the same seed.
package struct FuzzGenerator: RandomNumberGenerator {
    private var state: UInt64

    package init(_ seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    package mutating func below(_ count: Int) -> Int { Int(next() % UInt64(count)) }
    package mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[below(elements.count)]
    }
}

/// What the threads of an execution have seen so far, and what executions came to.
package final class FuzzLog: @unchecked Sendable {
    // Unchecked: used by the fibers and the explorer of one thread of the system.
    private var seen: [String: String] = [:]
    private var seenInPlain: [String: String] = [:]
    private var final: () -> String = { "" }
    package private(set) var outcomes: Set<String> = []

    package init() {}

    /// An execution begins; `final` tells the state of its objects at the end.
    package func begin(_ final: @escaping () -> String) {
        seen.removeAll(keepingCapacity: true)
        seenInPlain.removeAll(keepingCapacity: true)
        self.final = final
    }

    package func see(_ thread: String, _ what: String) { seen[thread, default: ""] += what + "," }

    /// What a thread read from plain memory. It means nothing where the execution fails: it may be
    /// by the race of this read.
    package func seeInPlain(_ thread: String, _ what: String) {
        seenInPlain[thread, default: ""] += what + ","
    }

    /// The execution has ended.
    package func conclude(_ verdict: Verdict.Kind?) {
        let word = Self.word(verdict)
        if word != "fails" { seen.merge(seenInPlain) { $0 + " plain: " + $1 } }
        let texts = seen.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
        outcomes.insert("\(word) (\(final())) \(texts.joined(separator: " "))")
        final = { "" }
    }

    /// Which of several mistakes an execution makes first depends on the order of steps that do not
    /// conflict.
    private static func word(_ verdict: Verdict.Kind?) -> String {
        switch verdict {
        case nil: "ends"
        case .deadlock, .lostWakeUp, .neverResumed, .leakedTask, .stepLimit: verdict!.rawValue
        default: "fails"
        }
    }
}

/// What one strategy makes of a program.
package struct FuzzRun: Sendable {
    package var outcomes: Set<String> = []
    package var executions = 0
    package var blocked = 0
    package var coverage = ""
    package var error = ""
    /// Whether there are no other executions.
    package var isComplete = false

    package init(
        _ program: some FuzzProgram, _ strategy: ExplorationOptions.Strategy, limit: Int = .max
    ) {
        self.init(program, program.options(strategy), limit: limit)
    }

    package init(_ program: some FuzzProgram, _ options: ExplorationOptions, limit: Int = .max) {
        let log = FuzzLog()
        var options = options
        options.stopsAtFirstFailure = false
        options.minimizes = false
        options.executionLimit = limit
        options.stepLimit = 2_000
        options.concluded = { log.conclude($0) }
        do {
            let report = try program.exploration(options, log).run()
            executions = report.executions
            blocked = report.blocked
            coverage = report.coverage.description
            error = report.defect ?? ""
            switch report.coverage {
            case .all, .bounded(by: "time"), .bounded(by: "what jobs are declared to share"):
                isComplete = true
            default: break
            }
        } catch {
            self.error = "\(error)"
        }
        outcomes = log.outcomes
    }
}

/// How the optimal strategy and a search without reduction differ on a program; nil where they
/// agree.
package struct FuzzDifference: CustomStringConvertible, Sendable {
    package enum Kind: Sendable, Equatable { case error, missing, invented, blocked, more }
    package var kind: Kind
    package var description: String

    /// - Returns: also how many executions the two took, and whether the second was exhaustive.
    package static func find(
        _ program: some FuzzProgram, limit: Int
    ) -> (difference: FuzzDifference?, optimal: FuzzRun, reference: FuzzRun) {
        var reference = FuzzRun(program, .depthFirst, limit: limit)
        let optimal = FuzzRun(program, .optimal, limit: limit)
        func differ(_ kind: Kind, _ text: String) -> (FuzzDifference?, FuzzRun, FuzzRun) {
            (FuzzDifference(kind: kind, description: text), optimal, reference)
        }
        if !optimal.error.isEmpty || !reference.error.isEmpty {
            return differ(.error, "optimal: \(optimal.error), depth first: \(reference.error)")
        }
        if optimal.isComplete, reference.isComplete, optimal.executions > reference.executions {
            return differ(
                .more,
                "optimal \(optimal.executions), depth first \(reference.executions) executions")
        }
        if !reference.isComplete {
            guard optimal.isComplete else { return (nil, optimal, reference) }
            reference = FuzzRun(program, .random(executions: limit / 2, seed: 1))
        }
        if optimal.isComplete {
            let missing = reference.outcomes.subtracting(optimal.outcomes)
            if !missing.isEmpty {
                return differ(
                    .missing,
                    "optimal (\(optimal.executions), blocked \(optimal.blocked)) lacks \(missing.count) of \(reference.outcomes.count): \(missing.sorted().prefix(3))"
                )
            }
        }
        if reference.isComplete {
            let invented = optimal.outcomes.subtracting(reference.outcomes)
            if !invented.isEmpty {
                return differ(.invented, "only optimal has \(invented.sorted().prefix(3))")
            }
        }
        if optimal.isComplete, let finely = program.finely {
            let fine = FuzzRun(program, finely)
            let missing = fine.outcomes.subtracting(optimal.outcomes)
            if !missing.isEmpty {
                return differ(
                    .missing,
                    "operations as steps lack \(missing.count): \(missing.sorted().prefix(3))")
            }
        }
        if optimal.blocked > 0, program.isExact {
            return differ(.blocked, "\(optimal.blocked) of \(optimal.executions) blocked")
        }
        return (nil, optimal, reference)
    }

    /// The smallest program found that differs in the same way.
    package static func shrink<Program: FuzzProgram>(_ program: Program, _ kind: Kind, limit: Int)
        -> Program
    {
        var smallest = program
        search: while true {
            for candidate in smallest.smaller
            where find(candidate, limit: limit).difference?.kind == kind {
                smallest = candidate
                continue search
            }
            return smallest
        }
    }
}
