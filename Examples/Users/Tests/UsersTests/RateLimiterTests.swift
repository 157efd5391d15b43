// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Testing
import Users

struct RateLimiterTests {
    @Test(.everyInterleaving)
    func `a limiter admits no more than its limit`() async {
        await arriveInNewMinute(RateLimiter.self)
    }

    @Test(.finds(.expectation, at: "await log.record(used)"), .everyInterleaving)
    func `a broken limiter admits more than its limit`() async {
        await arriveInNewMinute(BrokenRateLimiter.self)
    }

    private func arriveInNewMinute<L: Limiting>(_: L.Type) async {
        let limiter = L(limit: 1, log: UsageLog())
        async let first = limiter.admits(inMinute: 1)
        async let second = limiter.admits(inMinute: 1)
        #expect(await [first, second].count { $0 } == 1, "more than the limit got through")
    }
}

private protocol Limiting: Actor {
    init(limit: Int, log: UsageLog)
    func admits(inMinute now: Int) async -> Bool
}

extension RateLimiter: Limiting {}
extension BrokenRateLimiter: Limiting {}
