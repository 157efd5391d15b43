// SPDX-License-Identifier: Apache-2.0

package import ArgumentParser
import Explorer
import Foundation

package struct Check<Catalog: StoryCatalog>: AsyncParsableCommand {
    package static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "check",
            abstract: "Explore the catalogue: find every break, verify every repair.",
            discussion: "Exits with 0 when every story ends as it should, with 1 when one does not."
        )
    }

    @Argument(help: "Stories or texts; all when none is given.")
    var names: [String] = []

    @Flag(help: "Print the result as JSON.")
    var json = false

    @Option(help: "Write a page for each counterexample into this folder.")
    var report: String?

    @Option(help: "How many stories to explore at once (default: the number of processors).")
    var jobs: Int?

    @OptionGroup var limits: LimitOptions

    package init() {}

    package func run() async throws {
        let file = try limits.resume.map(ResumeFile.read)
        let stories = try Catalog.stories(
            named: names.isEmpty ? file?.checkpoints.map(\.name) ?? [] : names)
        if let jobs, jobs < 1 { throw BadInput("--jobs takes a number from 1, not \(jobs)") }
        let terminal = Terminal(command: Catalog.commandName)
        let start = ContinuousClock.now
        let jobs = jobs ?? ProcessInfo.processInfo.activeProcessorCount
        Interruption.catchSignals()
        let results = try await Explorations.run(stories, jobs: jobs, limits, file, terminal)
        let elapsed = ContinuousClock.now - start
        if let report { try HTMLReport.write(results, to: report, terminal) }
        if json {
            try printJSON(CheckSummary(results))
        } else {
            CheckTable(terminal: terminal).print(results, seconds: elapsed / .seconds(1))
        }
        if Exploration.isInterrupted {
            try ResumeFile.write(
                results.map(\.report), toGoOn: "\(Catalog.commandName) check")
        }
        if !results.allSatisfy(\.isAsExpected) { throw ExitCode(1) }
    }
}

/// One explored story.
struct StoryResult: Sendable {
    let story: Story
    let report: ExplorationReport

    var isAsExpected: Bool { story.isAsExpected(report) }
    var found: String { story.found(in: report) }
    /// The executions that show what was found.
    var count: Int { story.expected.flatMap { report.verdicts[$0] } ?? report.failed }
}

/// Explores stories, several at once.
enum Explorations {
    static func run(
        _ stories: [Story], jobs: Int, _ limits: LimitOptions, _ file: ResumeFile?,
        _ terminal: Terminal
    ) async throws -> [StoryResult] {
        defer { terminal.endProgress() }
        return try await withThrowingTaskGroup(of: (Int, StoryResult).self) { group in
            var results: [StoryResult?] = Array(repeating: nil, count: stories.count)
            var next = 0
            func startNext() {
                guard next < stories.count else { return }
                let index = next
                next += 1
                let checkpoint = file?.checkpoints.first { $0.name == stories[index].name }
                group.addTask {
                    (index, try await explore(stories[index], limits, checkpoint, terminal))
                }
            }
            for _ in 0..<jobs { startNext() }
            while let (index, result) = try await group.next() {
                results[index] = result
                terminal.progress("  \(results.count { $0 != nil }) of \(stories.count) stories")
                startNext()
            }
            return results.compactMap(\.self)
        }
    }

    static func explore(
        _ story: Story, _ limits: LimitOptions, _ checkpoint: Checkpoint?, _ terminal: Terminal,
        showsEveryEvent: Bool = false
    ) async throws -> StoryResult {
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        options.showsEveryEvent = showsEveryEvent
        options.progress = { terminal.progress($0) }
        limits.apply(to: &options)
        let settled = options
        let report: ExplorationReport
        do {
            report = try await ExploringThreads.run {
                try story.exploration(options: settled).run(from: checkpoint)
            }
        } catch {
            guard checkpoint != nil else { throw error }
            throw BadInput("\(error)")
        }
        return StoryResult(story: story, report: report)
    }
}

/// What `check --json` prints.
struct CheckSummary: Encodable {
    struct Item: Encodable {
        let name, text, form, expected, found: String
        let asExpected: Bool
        let executions, blocked, abandoned: Int
        let coverage: String
        let seconds: Double
        let token: String?
    }

    let stories: [Item]
    let total: Int
    let asExpected: Int

    init(_ results: [StoryResult]) {
        stories = results.map {
            Item(
                name: $0.story.name, text: $0.story.text, form: $0.story.form.rawValue,
                expected: $0.story.expected?.rawValue ?? "verified", found: $0.found,
                asExpected: $0.isAsExpected,
                executions: $0.report.executions, blocked: $0.report.blocked,
                abandoned: $0.report.abandonedThreads, coverage: $0.report.coverage.word,
                seconds: $0.report.seconds, token: $0.report.counterexample.map { "\($0.token)" })
        }
        total = results.count
        asExpected = results.count(where: \.isAsExpected)
    }
}

/// What `check` prints: a line a story, at most 100 columns wide.
struct CheckTable {
    let terminal: Terminal

    func print(_ results: [StoryResult], seconds elapsed: Double) {
        var text = ""
        for result in results {
            if result.story.text != text {
                text = result.story.text
                Swift.print("  \(text)")
            }
            Swift.print("    " + line(result))
        }
        for result in results where !result.isAsExpected { explain(result) }
        Swift.print("    ────────────")
        Swift.print("    " + summary(results, elapsed))
    }

    private func line(_ result: StoryResult) -> String {
        let mark = result.isAsExpected ? terminal.green("✓") : terminal.red("✗")
        let executions = result.report.executions
        let isFound = result.report.failed > 0
        let found = "\(result.found) ".padded(15)
        var count = (isFound ? "in \(result.count) of " : "") + "\(executions)"
        // Where the verdict takes the room, the lines around say what is counted.
        let unit =
            " execution\(executions == 1 ? "" : "s")"
            + (isFound ? "" : ", \(result.report.coverage.word)")
        if (found + count + unit).count < 37 { count += unit }
        return result.story.form.rawValue.padded(9) + result.story.title.padded(41) + mark + " "
            + "\(found)\(count) ".padded(37) + seconds(result.report.seconds)
    }

    private func explain(_ result: StoryResult) {
        Swift.print("")
        Swift.print(
            "  \(result.story.name) should be \(result.story.expected?.rawValue ?? "verified"):")
        if let counterexample = result.report.counterexample {
            Swift.print(StoryTrace.text(counterexample, of: result.story, terminal))
        } else {
            Swift.print(
                "  nothing was found in \(result.report.executions) executions, \(result.report.coverage)"
            )
        }
        Swift.print("")
    }

    private func summary(_ results: [StoryResult], _ elapsed: Double) -> String {
        let good = results.count(where: \.isAsExpected)
        let executions = results.reduce(0) { $0 + $1.report.executions }
        let blocked = results.reduce(0) { $0 + $1.report.blocked }
        let abandoned = results.reduce(0) { $0 + $1.report.abandonedThreads }
        return
            "\(results.count) stor\(results.count == 1 ? "y" : "ies"), \(good) as \(good == 1 ? "it" : "they") should be · "
            + "\(executions) executions, \(blocked == 0 ? "none" : "\(blocked)") blocked · "
            + seconds(elapsed)
            + (abandoned > 0
                ? "\n    \(abandoned) threads were abandoned: they did not end when their waits did"
                : "")
    }
}

/// A counterexample of a story, for a person.
enum StoryTrace {
    static func text(_ counterexample: Counterexample, of story: Story, _ terminal: Terminal)
        -> String
    {
        var style = TraceStyle(
            title: story.title, location: story.text,
            replay: "\(terminal.command) replay \(story.name) \(counterexample.token)")
        style.rest = "--all"
        style.usesColor = terminal.hasColor
        return TraceRenderer(style).render(counterexample)
    }
}
