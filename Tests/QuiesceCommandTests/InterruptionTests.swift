// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// A long run says how far it is, stops at a signal, and goes on.
@Suite struct InterruptionTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
        "quiesce-\(UUID().uuidString)")

    /// Interrupts the command once it has said how far it is, and returns all that it wrote.
    private func interrupted(_ arguments: [String], by send: (Process) -> Void) throws
        -> (code: Int32, output: String, errors: String)
    {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let process = Process()
        process.executableURL = CommandRun.program
        process.arguments = arguments
        process.currentDirectoryURL = folder
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        let progress = errors.fileHandleForReading.availableData
        send(process)
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (
            process.terminationStatus, String(decoding: text, as: UTF8.self),
            String(decoding: progress, as: UTF8.self)
        )
    }

    private func goOn(after output: String) throws -> [String] {
        let line = try #require(
            output.split(separator: "\n").first { $0.contains("--resume") }, "\(output)")
        var words = line.split(separator: " ").dropFirst().map(String.init)
        words[words.count - 1] = folder.appendingPathComponent(words[words.count - 1]).path
        return words
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func `an interrupted family goes on from a file`(number: Int32) throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let first = try interrupted(["explore-family", "increments", "--size", "3x8"]) {
            kill($0.processIdentifier, number)
        }
        #expect(first.code == 1)
        #expect(first.errors.hasPrefix("increments 3x8: "), "\(first.errors)")
        #expect(first.errors.contains(" executions in ") && first.errors.contains(" a second"))
        #expect(first.output.contains("coverage bounded (an interruption)"))
        let covered = try #require(
            first.output.split(separator: " ").compactMap { Int($0) }.first { $0 > 100 })
        let arguments = try goOn(after: first.output)
        let second = try CommandRun(arguments + ["--executions", "10", "--json"])
        #expect(second.json?["executions"] as? Int == covered + 10, "\(second)")
        #expect(second.json?["coverage"] as? String == "bounded")
        // Another program's file is refused.
        let wrong = try CommandRun(
            ["explore-family", "increments", "--size", "3x7", "--resume", arguments.last!])
        #expect(wrong.code == 2 && wrong.errors.hasPrefix("quiesce: "))
    }

    @Test func `limits bound every story, and none is called verified`() throws {
        let run = try quiesce("check", "repair", "--executions", "1", "--json")
        #expect(run.code == 1)
        let story = try #require((run.json?["stories"] as? [[String: Any]])?.first)
        #expect(story["coverage"] as? String == "bounded")
        #expect(story["found"] as? String == "bounded")
        #expect(!(try quiesce("show", "repair", "--executions", "1").output.contains("verified")))
        #expect(try quiesce("show", "repair").output.contains("verified"))
    }
}
