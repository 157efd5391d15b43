// SPDX-License-Identifier: Apache-2.0

package import ArgumentParser
import Foundation

/// The stories of a program, and the command that explores them.
///
/// A type with the attribute `@main` that conforms makes an executable target a command of its own,
/// with the subcommands `check`, `list`, `show` and `replay`:
///
/// ```swift
/// import QuiesceStories
///
/// @main enum Checks: StoryCatalog {
///     static let stories = [Transfer.broken, Transfer.repaired]
/// }
/// ```
///
/// Its exit codes are those of `quiesce`: 0 when every story ends as it should, 1 when one does
/// not, 2 for bad input.
public protocol StoryCatalog: SendableMetatype {
    /// Every story, in the order in which tables show them; no two have the same name.
    static var stories: [Story] { get }
    /// The name of the command in what it prints: that of the program's file, unless the type says
    /// otherwise.
    static var commandName: String { get }
}

extension StoryCatalog {
    public static var commandName: String {
        URL(fileURLWithPath: CommandLine.arguments.first ?? "stories").lastPathComponent
    }

    /// Runs the command that the program's arguments tell, and ends the process with its exit code.
    @concurrent public static func main() async { await CommandMain.run(StoriesCommand<Self>.self) }

    /// The stories that a name stands for: one, or all of a text's.
    public static func stories(named name: String) -> [Story] {
        stories.filter { $0.name == name || $0.text == name }
    }
}

extension StoryCatalog {
    static func stories(named names: [String]) throws -> [Story] {
        try checkNames()
        guard !names.isEmpty else { return stories }
        return try names.flatMap { name in
            let found = stories(named: name)
            guard !found.isEmpty else {
                throw BadInput(
                    "there is no story or text called \"\(name)\"; \(commandName) list shows them")
            }
            return found
        }
    }

    static func story(named name: String) throws -> Story {
        try checkNames()
        guard let story = stories.first(where: { $0.name == name }) else {
            throw BadInput(
                "there is no story called \"\(name)\"; \(commandName) list shows them")
        }
        return story
    }

    /// A name that two stories have would make tokens and arguments ambiguous.
    package static func checkNames() throws {
        var names: Set<String> = []
        for story in stories where !names.insert(story.name).inserted {
            throw BadInput("two stories are called \"\(story.name)\"")
        }
    }
}

/// The command of a catalogue.
struct StoriesCommand<Catalog: StoryCatalog>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: Catalog.commandName,
            abstract: "Explore stories through every interleaving that can differ.",
            discussion: CommandMain.exitCodes,
            subcommands: [
                Check<Catalog>.self, List<Catalog>.self, Show<Catalog>.self, Replay<Catalog>.self,
            ])
    }
}

/// What the `main` of a command does.
package enum CommandMain {
    package static let exitCodes =
        "Exit codes: 0 when all is as it should be, 1 when something is not, 2 for bad input."

    /// Runs the command that the program's arguments tell, and ends the process with its exit code.
    package static func run(_ root: any ParsableCommand.Type) async {
        do {
            var command = try root.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let code as ExitCode {
            Foundation.exit(code.rawValue)
        } catch let error as BadInput {
            fail(error.description, root)
        } catch {
            if root.exitCode(for: error).isSuccess {
                print(root.fullMessage(for: error))
                Foundation.exit(0)
            }
            fail(root.message(for: error), root)
        }
    }

    private static func fail(_ sentence: String, _ root: any ParsableCommand.Type) -> Never {
        let name = root.configuration.commandName ?? "stories"
        FileHandle.standardError.write(Data("\(name): \(sentence)\n".utf8))
        Foundation.exit(2)
    }
}

/// What the user gave makes no sense: one sentence, exit code 2.
package struct BadInput: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
