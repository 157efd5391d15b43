// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// The command as a user runs it: the built program, its output and its exit code.
@Suite struct CommandTests {
    @Test func `check explores the catalogue and says so in at most 100 columns`() throws {
        let run = try quiesce("check")
        #expect(run.code == 0)
        #expect(run.errors.isEmpty)
        #expect(run.output.contains("116 stories, 116 as they should be"))
        #expect(run.output.split(separator: "\n").allSatisfy { $0.count <= 100 })
        #expect(!run.output.contains("\u{1B}"), "a pipe gets plain text")
    }

    @Test func `check --json has the documented keys`() throws {
        let json = try #require(try quiesce("check", "published-patch", "repair", "--json").json)
        #expect(json["total"] as? Int == 2 && json["asExpected"] as? Int == 2)
        let stories = try #require(json["stories"] as? [[String: Any]])
        let keys: Set = [
            "name", "text", "form", "expected", "found", "asExpected", "executions", "blocked",
            "abandoned", "coverage", "seconds",
        ]
        #expect(Set(stories[0].keys) == keys.union(["token"]))
        #expect(Set(stories[1].keys) == keys)
        #expect(stories[0]["found"] as? String == "use after free")
        #expect(stories[1]["coverage"] as? String == "all")
    }

    @Test func `explore-family --json has the documented keys`() throws {
        let json = try #require(
            try quiesce("explore-family", "bounded-buffer-one-condition", "--size", "2,2", "--json")
                .json)
        #expect(
            Set(json.keys) == [
                "family", "size", "strategy", "executions", "blocked", "deadlocked", "failed",
                "abandoned", "coverage", "seconds",
            ])
        #expect(json["executions"] as? Int == 80)
        #expect(json["deadlocked"] as? Int == 8)
        #expect(json["blocked"] as? Int == 0)
    }

    @Test func `a token works in another process`() throws {
        let shown = try quiesce("show", "published-patch", "--json")
        let token = try #require(shown.json?["token"] as? String)
        let replayed = try quiesce("replay", "published-patch", token)
        #expect(replayed.code == 1)
        #expect(
            replayed.output.contains(
                "use after free: client freed en at step 19; closer used en.ops at step 20"))
        #expect(replayed.output.contains(token))
        #expect(try quiesce("show", "published-patch", "--all").output.contains("21 events"))
    }

    @Test func `the catalogue and the families are listed`() throws {
        let run = try quiesce("list")
        #expect(run.code == 0)
        #expect(run.output.contains("published-patch") && run.output.contains("lastzero"))
        #expect(try quiesce("--help").code == 0)
    }

    @Test func `a report is a page for each counterexample`() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "quiesce-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        #expect(try quiesce("check", "sleeping-release", "--report", folder.path).code == 0)
        let index = try String(
            contentsOf: folder.appendingPathComponent("index.html"), encoding: .utf8)
        #expect(index.contains("sleeping-release.html"))
        let page = try String(
            contentsOf: folder.appendingPathComponent("sleeping-release.html"), encoding: .utf8)
        #expect(page.contains("deadlock: closer waits for client.lock"))
    }

    @Test(arguments: [
        ["check", "nothing"],
        ["show", "nothing"],
        ["check", "--jobs", "0"],
        ["check", "--wrong"],
        ["check", "--seconds", "0"],
        ["check", "--executions", "0"],
        ["check", "--resume", "/dev/null"],
        ["show", "repair", "--resume", "/nowhere/at-all"],
        ["explore-family", "lastzero", "--size", "3", "--resume", "/dev/null"],
        ["replay", "published-patch", "nonsense"],
        ["replay", "published-patch", ""],
        ["replay", "published-patch", "cc1e636a:0x6,1x6"],
        ["replay", "published-patch", "cc1e636a:0x6,1x6,2x2,1x4:6df4"],
        ["replay", "repair", "cc1e636a:0x6,1x6,2x2,1x4:6df5"],
        ["replay", "nothing", "cc1e636a:0x6,1x6,2x2,1x4:6df5"],
        ["explore-family", "lastzero", "--size", "abc"],
        ["explore-family", "lastzero", "--size", "2x3"],
        ["explore-family", "nothing", "--size", "3"],
        ["explore-family", "lastzero"],
        ["explore-family", "lastzero", "--size", "3", "--strategy", "guess"],
        ["check", "repair", "--report", "/dev/null/no"],
    ])
    func `bad input is one sentence and exit code 2`(arguments: [String]) throws {
        let run = try CommandRun(arguments)
        #expect(run.code == 2)
        #expect(run.output.isEmpty)
        let lines = run.errors.split(separator: "\n")
        #expect(lines.count == 1, "\(run.errors)")
        #expect(lines.first?.hasPrefix("quiesce: ") == true)
    }
}
