// SPDX-License-Identifier: Apache-2.0

import Foundation

/// One run of the built command: its output and its exit code.
struct CommandRun {
    let code: Int32
    let output: String
    let errors: String

    var json: [String: Any]? {
        (try? JSONSerialization.jsonObject(with: Data(output.utf8))) as? [String: Any]
    }

    /// The built command, beside the tests.
    static var program: URL {
        URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
            .deletingLastPathComponent().appendingPathComponent("quiesce")
    }

    init(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = CommandRun.program
        process.arguments = arguments
        let output = Pipe()
        let errors = Pipe()
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        let complaint = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        code = process.terminationStatus
        self.output = String(decoding: text, as: UTF8.self)
        self.errors = String(decoding: complaint, as: UTF8.self)
    }
}

/// Runs the built command.
func quiesce(_ arguments: String...) throws -> CommandRun { try CommandRun(arguments) }
