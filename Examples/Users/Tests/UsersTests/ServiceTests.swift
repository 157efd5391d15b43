// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Testing
import Users

struct ServiceTests {
    @Test(.everyInterleaving)
    func `a service can be stopped twice`() async { await stopTwice(Service()) }

    @Test(.finds(.neverResumed, at: "withCheckedContinuation { stopper = $0 }"), .everyInterleaving)
    func `a broken service forgets who stopped it first`() async {
        await stopTwice(BrokenService())
    }

    private func stopTwice(_ service: some Serving) async {
        async let run: Void = service.run([{ await Task.yield() }])
        async let first: Void = service.stop()
        await service.stop()
        _ = await (run, first)
    }
}

private protocol Serving: Actor {
    func run(_ jobs: [@Sendable () async -> Void]) async
    func stop() async
}

extension Service: Serving {}
extension BrokenService: Serving {}
