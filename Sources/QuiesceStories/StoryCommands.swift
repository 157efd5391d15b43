// SPDX-License-Identifier: Apache-2.0

package import ArgumentParser
import Explorer
import Foundation

package struct List<Catalog: StoryCatalog>: ParsableCommand {
    package static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "list", abstract: "List the stories.")
    }

    @Flag(help: "Print the list as JSON.")
    var json = false

    package init() {}

    package func run() throws {
        try Catalog.checkNames()
        let listing = StoryListing(Catalog.stories)
        if json { try printJSON(listing) } else { listing.print() }
    }
}

/// What `list` prints.
package struct StoryListing: Encodable {
    package struct Item: Encodable {
        let name, text, form, title, expected: String
    }

    package let stories: [Item]

    package init(_ stories: [Story]) {
        self.stories = stories.map {
            Item(
                name: $0.name, text: $0.text, form: $0.form.rawValue, title: $0.title,
                expected: $0.expected?.rawValue ?? "verified")
        }
    }

    package func print() {
        var text = ""
        for item in stories {
            if item.text != text {
                text = item.text
                Swift.print("  \(text)")
            }
            Swift.print("    " + item.name.padded(32) + item.form.padded(10) + item.title)
        }
    }
}

package struct Show<Catalog: StoryCatalog>: AsyncParsableCommand {
    package static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "show",
            abstract: "Explore one story and show what it finds, as a table of steps.",
            discussion: "Exits with 0 when the story ends as it should, with 1 when it does not.")
    }

    @Argument(help: "The story.")
    var name: String

    @Flag(help: "Print the trace as JSON.")
    var json = false

    @Flag(help: "Show every event, also those that have no part in the failure.")
    var all = false

    @OptionGroup var limits: LimitOptions

    package init() {}

    package func run() async throws {
        let story = try Catalog.story(named: name)
        let terminal = Terminal(command: Catalog.commandName)
        let checkpoint = try limits.resume.map { try ResumeFile.read($0).checkpoint(of: name) }
        Interruption.catchSignals()
        let result = try await Explorations.explore(
            story, limits, checkpoint, terminal, showsEveryEvent: all)
        let report = result.report
        terminal.endProgress()
        if json {
            try printJSON(
                TraceOutput(
                    story: story.name, found: result.found, counterexample: report.counterexample))
        } else if let counterexample = report.counterexample {
            print(StoryTrace.text(counterexample, of: story, terminal))
        } else {
            print(
                "\(report.coverage == .all ? "✓" : "–") \"\(story.title)\": \(report.result), "
                    + "\(report.executions) executions, coverage \(report.coverage)")
        }
        if Exploration.isInterrupted {
            try ResumeFile.write([report], toGoOn: "\(Catalog.commandName) show \(name)")
        }
        if !result.isAsExpected { throw ExitCode(1) }
    }
}

package struct Replay<Catalog: StoryCatalog>: AsyncParsableCommand {
    package static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "replay",
            abstract: "Run the one schedule that a token tells.",
            discussion: "Exits with 0 when the schedule ends well, with 1 when it fails.")
    }

    @Argument(help: "The story.")
    var name: String

    @Argument(help: "The token that check, show or a test printed.")
    var token: String

    @Flag(help: "Print the trace as JSON.")
    var json = false

    @Flag(help: "Show every event, also those that have no part in the failure.")
    var all = false

    package init() {}

    package func run() async throws {
        let story = try Catalog.story(named: name)
        let token: ReplayToken
        do { token = try ReplayToken(self.token) } catch { throw BadInput("\(error)") }
        guard token.belongs(to: story.name) else {
            throw BadInput("the replay token was made for another test than \"\(story.name)\"")
        }
        var options = ExplorationOptions()
        options.showsEveryEvent = all
        let settled = options
        let counterexample: Counterexample?
        do {
            counterexample = try await ExploringThreads.run {
                try story.exploration(options: settled).replay(token)
            }
        } catch { throw BadInput("\(error)") }
        if json {
            let found = counterexample?.verdict.kind.rawValue ?? "this schedule ends well"
            try printJSON(
                TraceOutput(story: story.name, found: found, counterexample: counterexample))
        } else if let counterexample {
            print(
                StoryTrace.text(
                    counterexample, of: story, Terminal(command: Catalog.commandName)))
        } else {
            print("✓ \"\(story.title)\": this schedule ends well")
        }
        if counterexample != nil { throw ExitCode(1) }
    }
}

/// What `show --json` and `replay --json` print.
struct TraceOutput: Encodable {
    let story: String
    let found: String
    let token: String?
    let trace: Trace?

    init(story: String, found: String, counterexample: Counterexample?) {
        self.story = story
        self.found = found
        token = counterexample.map { "\($0.token)" }
        trace = counterexample?.trace
    }
}
