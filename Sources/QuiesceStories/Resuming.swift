// SPDX-License-Identifier: Apache-2.0

package import ArgumentParser
package import Explorer
import Foundation

/// How long a subcommand explores, and where it goes on.
package struct LimitOptions: ParsableArguments {
    @Option(help: "The most seconds to explore; of several stories, each.")
    package var seconds: Double?

    @Option(help: "The most executions; of several stories, each.")
    package var executions: Int?

    @Option(help: "Go on from a file that an interrupted run wrote.")
    package var resume: String?

    package init() {}

    package func validate() throws {
        if let seconds, !(seconds > 0) {
            throw BadInput("--seconds takes a number above 0, not \(seconds)")
        }
        if let executions, executions < 1 {
            throw BadInput("--executions takes a number from 1, not \(executions)")
        }
    }

    package func apply(to options: inout ExplorationOptions) {
        options.secondsLimit = seconds ?? .infinity
        options.executionLimit = executions ?? .max
    }
}

/// Ctrl-C and SIGTERM: explorations stop after their current executions. A second signal ends the
/// process as it does without us.
package enum Interruption {
    package static func catchSignals() {
        // Reads it once, so that it is there when the handler runs.
        _ = Exploration.isInterrupted
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        for number in [SIGINT, SIGTERM] {
            unsafe sigaddset(&signals, number)
            let former = signal(number) { _ in
                Exploration.interrupt()
                _ = signal(SIGINT, SIG_DFL)
                _ = signal(SIGTERM, SIG_DFL)
            }
            // The parent process may have had the signal ignored.
            if unsafe unsafeBitCast(former, to: Int.self) == 1 { _ = signal(number, SIG_IGN) }
        }
        // The parent process may have blocked them.
        unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }
}

/// What an interrupted run leaves for the next one: the explorations that were not finished.
package struct ResumeFile: Codable {
    /// Which program wrote it: another one may have other steps in its explorations.
    let build: UInt64
    package let checkpoints: [Checkpoint]

    package static func read(_ path: String) throws -> ResumeFile {
        let file: ResumeFile
        do {
            file = try JSONDecoder().decode(
                ResumeFile.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw BadInput("\(path) is not a file that an interrupted run wrote")
        }
        guard file.build == thisBuild else {
            throw BadInput("\(path) was written by another build of this program")
        }
        if file.checkpoints.isEmpty { throw BadInput("\(path) has nothing to go on from") }
        return file
    }

    /// The checkpoint of this exploration, which must be there.
    package func checkpoint(of name: String) throws -> Checkpoint {
        guard let checkpoint = checkpoints.first(where: { $0.name == name }) else {
            throw BadInput("the file to go on from has nothing of \"\(name)\"")
        }
        return checkpoint
    }

    /// Writes what was not finished, and says what was covered and how to go on.
    package static func write(_ reports: [ExplorationReport], toGoOn command: String) throws {
        let checkpoints = reports.compactMap(\.checkpoint)
        let stopped = reports.count { $0.coverage == .bounded(by: "an interruption") }
        let lost = max(0, stopped - checkpoints.count)
        if lost > 0 {
            print("interrupted; \(lost) of what is not finished can only begin anew")
        }
        if checkpoints.isEmpty { return }
        let path = freePath()
        let data = try JSONEncoder().encode(
            ResumeFile(build: thisBuild, checkpoints: checkpoints))
        do { try data.write(to: URL(fileURLWithPath: path)) } catch {
            throw BadInput("the file to go on from could not be written: \(path)")
        }
        let executions = checkpoints.reduce(0) { $0 + $1.executions }
        let count = checkpoints.count
        print("interrupted after \(executions) executions of what is not finished; go on with")
        print("    \(command) --resume \(path)")
        if count > 1 { print("which explores the \(count) stories that are left") }
    }

    private static func freePath() -> String {
        var number = 1
        while FileManager.default.fileExists(atPath: "quiesce-\(number).resume") { number += 1 }
        return "quiesce-\(number).resume"
    }

    /// FNV-1a of the program, eight bytes at a time.
    private static let thisBuild: UInt64 = {
        let program = FileManager.default.contents(atPath: "/proc/self/exe") ?? Data()
        return unsafe program.withUnsafeBytes { bytes in
            var hash = FNV1a()
            for offset in stride(from: 0, to: bytes.count - 7, by: 8) {
                let word = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                hash.add(word)
            }
            return hash.value
        }
    }()
}
