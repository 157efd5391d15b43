// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import QuiesceStories
import Scenarios

@main
struct Quiesce: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: Catalogue.commandName,
        abstract: "Object lifetimes that survive teardown, checked through every interleaving.",
        discussion: CommandMain.exitCodes,
        subcommands: [
            Check<Catalogue>.self, ListAll.self, Show<Catalogue>.self, Replay<Catalogue>.self,
            ExploreFamily.self, Conformance.self,
        ])

    static func main() async { await CommandMain.run(Quiesce.self) }
}
