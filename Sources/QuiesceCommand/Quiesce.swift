// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

@main
struct Quiesce: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quiesce",
        abstract: "Object lifetimes that survive teardown, checked through every interleaving.",
        discussion:
            "Exit codes: 0 when all is as it should be, 1 when something is not, 2 for bad input.",
        subcommands: [
            Check.self, List.self, Show.self, Replay.self, ExploreFamily.self, Conformance.self,
        ])

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let code as ExitCode {
            Foundation.exit(code.rawValue)
        } catch let error as BadInput {
            fail(error.description)
        } catch {
            if exitCode(for: error).isSuccess {
                print(fullMessage(for: error))
                Foundation.exit(0)
            }
            fail(message(for: error))
        }
    }

    private static func fail(_ sentence: String) -> Never {
        FileHandle.standardError.write(Data("quiesce: \(sentence)\n".utf8))
        Foundation.exit(2)
    }
}

/// What the user gave makes no sense: one sentence, exit code 2.
struct BadInput: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
