// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceTesting
import Testing
import Users

@Suite struct ServerTests {
    @Test(.everyInterleaving)
    func `a server serves nothing after shutdown`() async throws { try await shutdownDuringRequest(Server()) }

    @Test(.finds(.expectation, at: "served += 1"), .everyInterleaving)
    func `a broken server serves after shutdown`() async throws { try await shutdownDuringRequest(BrokenServer()) }

    private func shutdownDuringRequest(_ server: some Serving) async throws {
        async let request = server.serve { await Task.yield() }
        try await server.shutdown()
        let served = await server.served
        _ = await request
        #expect(await server.served == served, "nothing is served after shutdown")
    }
}

private protocol Serving: Actor {
    var served: Int { get }
    func serve(_ request: @Sendable () async -> Void) async -> Bool
    func shutdown() async throws
}

extension Server: Serving {}
extension BrokenServer: Serving {}
