// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// A catalogue of a user's own, as a program.
@Suite struct CatalogTests {
    /// One run of the program: its exit code, its output, and what it complains of.
    private func run(_ arguments: String...) throws -> (code: Int32, output: String, errors: String)
    {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
            .resolvingSymlinksInPath().deletingLastPathComponent()
            .appendingPathComponent("Checks")
        process.arguments = arguments
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        let complaint = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (
            process.terminationStatus, String(decoding: text, as: UTF8.self),
            String(decoding: complaint, as: UTF8.self)
        )
    }

    @Test func `stories that end as they should exit with 0`() throws {
        let result = try run("check")
        #expect(result.code == 0, "\(result)")
        #expect(result.output.contains("adds in two steps"))
        #expect(result.output.contains("1 story, 1 as it should be"))
    }

    @Test func `what is shown can be replayed`() throws {
        let shown = try run("show", "lost-count")
        #expect(shown.code == 0)
        let replay = try #require(
            shown.output.split(separator: "\n").first { $0.contains("Checks replay lost-count") })
        let token = try #require(replay.split(separator: " ").last)
        let replayed = try run("replay", "lost-count", String(token))
        #expect(replayed.code == 1)
        #expect(replayed.output.contains("an addition was lost"))
    }

    @Test func `stories are listed by name`() throws {
        let result = try run("list", "--json")
        #expect(result.code == 0 && result.output.contains("\"name\" : \"lost-count\""))
    }

    @Test func `bad input is one sentence that names the program`() throws {
        let result = try run("show", "no-such-story")
        #expect(result.code == 2 && result.output.isEmpty)
        #expect(
            result.errors
                == "Checks: there is no story called \"no-such-story\"; Checks list shows them\n")
    }

    @Test func `a report is a folder of pages`() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "quiesce-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        #expect(try run("check", "--report", folder.path).code == 0)
        let page = try String(
            contentsOf: folder.appendingPathComponent("lost-count.html"), encoding: .utf8)
        #expect(page.contains("Checks replay lost-count"))
    }
}
