// SPDX-License-Identifier: Apache-2.0

// The program of the article on catalogues, which a test runs.
import Explorer
import QuiesceStories
import Substrate

@main enum Checks: StoryCatalog {
    static let stories = [
        Story("lost-count", text: "counter", .broken, "adds in two steps", expecting: .expectation)
        { world in
            let count = Atomic(0)
            for name in ["one", "two"] {
                world.thread(name) {
                    let old = count.load(ordering: .relaxed)
                    count.store(old + 1, ordering: .relaxed)
                }
            }
            world.afterwards { expect(count.load(ordering: .relaxed) == 2, "an addition was lost") }
        }
    ]
}
