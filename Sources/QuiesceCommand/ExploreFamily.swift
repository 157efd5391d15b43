// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Explorer
import Foundation
import QuiesceStories
import Families

struct ExploreFamily: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explore-family",
        abstract: "Explore a parametric program: executions, deadlocks, seconds.",
        discussion:
            "quiesce list names the families. The strategy random picks as many executions as --executions says, or 1000. Exits with 0 also when executions deadlock: it measures."
    )

    enum StrategyName: String, CaseIterable, ExpressibleByArgument {
        case optimal
        case depthFirst = "depth-first"
        case preemptions
        case random
    }

    @Argument(help: "The family.")
    var name: String

    @Option(help: "The size: 5, 2x4 or 2,1.")
    var size: String

    @Option(help: "optimal, depth-first, preemptions or random.")
    var strategy = StrategyName.optimal

    @Option(help: "The bound of the strategy preemptions.")
    var bound = 2

    @Option(help: "The seed of the strategy random.")
    var seed: UInt64 = 1

    @OptionGroup var limits: LimitOptions

    @Flag(help: "Print the result as JSON.")
    var json = false

    private struct Output: Encodable {
        let family, size, strategy: String
        let executions, blocked, deadlocked, failed, abandoned: Int
        let coverage: String
        let seconds: Double
    }

    func run() throws {
        guard let family = Family.named(name) else {
            throw BadInput("there is no family called \"\(name)\"; quiesce list shows them")
        }
        if bound < 0 { throw BadInput("--bound takes a number from 0, not \(bound)") }
        let terminal = Terminal()
        var options = ExplorationOptions(strategy: explorerStrategy)
        options.stopsAtFirstFailure = false
        options.minimizes = false
        limits.apply(to: &options)
        if strategy == .random { options.executionLimit = .max }
        options.progress = { terminal.progress($0) }
        let exploration: Exploration
        do { exploration = try family.exploration(try FamilySize(size), options: options) } catch {
            throw BadInput("\(error)")
        }
        let file = try limits.resume.map(ResumeFile.read)
        Interruption.catchSignals()
        let report: ExplorationReport
        do {
            let checkpoint = file?.checkpoints.first
            report = try exploration.run(from: checkpoint)
        } catch { throw BadInput("\(error)") }
        terminal.endProgress()
        let output = Output(
            family: name, size: size, strategy: strategy.rawValue, executions: report.executions,
            blocked: report.blocked, deadlocked: report.deadlocked, failed: report.failedOtherwise,
            abandoned: report.abandonedThreads, coverage: report.coverage.word,
            seconds: report.seconds)
        if json { try printJSON(output) } else { show(output, report.coverage) }
        if Exploration.isInterrupted, report.checkpoint != nil {
            try ResumeFile.write([report], toGoOn: "quiesce " + commandLine)
            throw ExitCode(1)
        }
    }

    /// What explores the same again.
    private var commandLine: String {
        var words = ["explore-family", name, "--size", size, "--strategy", strategy.rawValue]
        if strategy == .preemptions { words += ["--bound", "\(bound)"] }
        if strategy == .random {
            words += ["--executions", "\(limits.executions ?? 1_000)", "--seed", "\(seed)"]
        }
        return words.joined(separator: " ")
    }

    private func show(_ output: Output, _ coverage: ExplorationReport.Coverage) {
        print(
            "\(name) \(size), \(strategy.rawValue): \(output.executions) executions, \(output.blocked) blocked, "
                + "\(output.deadlocked) deadlocked, \(output.failed) failed"
                + (output.abandoned > 0 ? ", \(output.abandoned) threads abandoned" : ""))
        print(
            "coverage \(coverage) · \(String(format: "%.3f s", output.seconds)) · "
                + "\(Int(Double(output.executions) / max(output.seconds, 1e-9))) executions a second"
        )
    }

    private var explorerStrategy: ExplorationOptions.Strategy {
        switch strategy {
        case .optimal: .optimal
        case .depthFirst: .depthFirst
        case .preemptions: .preemptions(bound)
        case .random: .random(executions: limits.executions ?? 1_000, seed: seed)
        }
    }
}
