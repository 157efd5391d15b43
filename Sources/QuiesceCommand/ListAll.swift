// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Families
import QuiesceStories
import Scenarios

struct ListAll: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the stories of the catalogue and the families.")

    @Flag(help: "Print the list as JSON.")
    var json = false

    private struct Output: Encodable {
        let stories: [StoryListing.Item]
        let families: [String]
    }

    func run() throws {
        let listing = StoryListing(Catalogue.stories)
        if json {
            return try printJSON(
                Output(stories: listing.stories, families: Family.all.map(\.name)))
        }
        listing.print()
        print("  families, for quiesce explore-family")
        for family in Family.all {
            print("    " + family.name.padded(32) + "--size " + family.sizeHint)
        }
    }
}
