// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Explorer
import Foundation
import Families
import Scenarios

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the stories of the catalogue and the families.")

    @Flag(help: "Print the list as JSON.")
    var json = false

    private struct Item: Encodable {
        let name, text, form, title, expected: String
    }

    private struct Listing: Encodable {
        let stories: [Item]
        let families: [String]
    }

    func run() throws {
        let items = Story.all.map {
            Item(
                name: $0.name, text: $0.text, form: $0.form.rawValue, title: $0.title,
                expected: $0.expected?.rawValue ?? "verified")
        }
        if json { return try printJSON(Listing(stories: items, families: Family.all.map(\.name))) }
        var text = ""
        for item in items {
            if item.text != text {
                text = item.text
                print("  \(text)")
            }
            print("    " + item.name.padded(32) + item.form.padded(10) + item.title)
        }
        print("  families, for quiesce explore-family")
        for family in Family.all {
            print("    " + family.name.padded(32) + "--size " + family.sizeHint)
        }
    }
}

struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Explore one story and show what it finds, as a table of steps.",
        discussion: "Exits with 0 when the story ends as it should, with 1 when it does not.")

    @Argument(help: "The story.")
    var name: String

    @Flag(help: "Print the trace as JSON.")
    var json = false

    @Flag(help: "Show every event, also those that have no part in the failure.")
    var all = false

    @OptionGroup var limits: LimitOptions

    func run() throws {
        let story = try Catalogue.story(named: name)
        let terminal = Terminal()
        let checkpoint = try limits.resume.map { try ResumeFile.read($0).checkpoint(of: name) }
        Interruption.catchSignals()
        let result = try Explorations.explore(
            story, limits, checkpoint, terminal, showsEveryEvent: all)
        let report = result.report
        terminal.endProgress()
        if json {
            try printJSON(
                TraceOutput(
                    story: story.name, found: result.found, counterexample: report.counterexample))
        } else if let counterexample = report.counterexample {
            print(StoryTrace.text(counterexample, of: story, Terminal()))
        } else {
            print(
                "\(report.coverage == .all ? "✓" : "–") \"\(story.title)\": \(report.result), "
                    + "\(report.executions) executions, coverage \(report.coverage)")
        }
        if Exploration.isInterrupted {
            try ResumeFile.write([report], toGoOn: "show \(name)")
        }
        if !result.isAsExpected { throw ExitCode(1) }
    }
}

struct Replay: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the one schedule that a token tells.",
        discussion: "Exits with 0 when the schedule ends well, with 1 when it fails.")

    @Argument(help: "The story.")
    var name: String

    @Argument(help: "The token that check, show or a test printed.")
    var token: String

    @Flag(help: "Print the trace as JSON.")
    var json = false

    @Flag(help: "Show every event, also those that have no part in the failure.")
    var all = false

    func run() throws {
        let story = try Catalogue.story(named: name)
        let token: ReplayToken
        do { token = try ReplayToken(self.token) } catch { throw BadInput("\(error)") }
        guard token.belongs(to: story.name) else {
            throw BadInput("the replay token was made for another test than \"\(story.name)\"")
        }
        var options = ExplorationOptions()
        options.showsEveryEvent = all
        let counterexample: Counterexample?
        do { counterexample = try story.exploration(options: options).replay(token) } catch {
            throw BadInput("\(error)")
        }
        if json {
            let found = counterexample?.verdict.kind.rawValue ?? "this schedule ends well"
            try printJSON(
                TraceOutput(story: story.name, found: found, counterexample: counterexample))
        } else if let counterexample {
            print(StoryTrace.text(counterexample, of: story, Terminal()))
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
