// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Testing
import Users

struct SearchFieldTests {
    @Test(.everyInterleaving)
    func `a field searches for what is in it`() async { await typeTwice(SearchField()) }

    @Test(.finds(.expectation, at: "search(text)"), .everyInterleaving)
    func `a broken field searches for what was in it`() async {
        await typeTwice(BrokenSearchField())
    }

    private func typeTwice(_ field: some Searching) async {
        await field.type("s")
        await field.type("sw")
        await field.isQuiet()
        #expect(await field.searches.allSatisfy { $0.query == $0.text }, "a stale search")
    }
}

private protocol Searching: Actor {
    var searches: [Search] { get }
    func type(_ text: String)
    func isQuiet() async
}

extension SearchField: Searching {}
extension BrokenSearchField: Searching {}
