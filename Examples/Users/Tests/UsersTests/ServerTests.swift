// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Testing
import Users

struct ServerTests {
    @Test(.everyInterleaving.reduction(.declared))
    func `a server serves nothing after shutdown`() async throws {
        try await shutdownDuringRequest(Server())
    }

    @Test(.finds(.expectation, at: "served += 1"), .everyInterleaving)
    func `a broken server serves after shutdown`() async throws {
        try await shutdownDuringRequest(BrokenServer())
    }

    private func shutdownDuringRequest(_ server: some Serving) async throws {
        let store = Store()
        async let request = server.serve { await store.read() }
        async let shutdown: Void = server.shutdown()
        try await shutdown
        let served = await server.served
        _ = await request
        #expect(await server.served == served, "served after shutdown")
    }
}

private actor Store {
    func read() {}
}

private protocol Serving: Actor {
    var served: Int { get }
    func serve(_ request: @Sendable () async -> Void) async -> Bool
    func shutdown() async throws
}

extension Server: Serving {}
extension BrokenServer: Serving {}
