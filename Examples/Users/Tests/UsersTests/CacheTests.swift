// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Testing
import Users

struct CacheTests {
    @Test(.everyInterleaving)
    func `a cache loads once`() async { await askTwice(Cache.self) }

    @Test(.finds(.expectation, at: "profiles[user] = profile"), .everyInterleaving)
    func `a broken cache loads twice`() async { await askTwice(BrokenCache.self) }

    private func askTwice<C: Caching>(_: C.Type) async {
        let database = Database()
        let cache = C { await database.load($0) }
        async let first = cache.profile(of: 7)
        let second = await cache.profile(of: 7)
        #expect(await [first, second] == ["user 7", "user 7"])
        #expect(await database.loads == 1)
    }
}

private actor Database {
    private(set) var loads = 0

    func load(_ user: Int) -> String {
        loads += 1
        return "user \(user)"
    }
}

private protocol Caching: Actor {
    init(load: @escaping @Sendable (Int) async -> String)
    func profile(of user: Int) async -> String
}

extension Cache: Caching {}
extension BrokenCache: Caching {}
