// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceTesting
import Testing
import Users

extension UsersTests {
    @Suite struct ServerTests {
        @Test(.everyInterleaving)
        func `a server serves nothing after shutdown`() async { await shutdownDuringRequest(Server()) }

        @Test(.finds(.expectation, at: "served += 1"), .everyInterleaving)
        func `a broken server serves after shutdown`() async { await shutdownDuringRequest(BrokenServer()) }

        private func shutdownDuringRequest(_ server: some Serving) async {
            let store = Store()
            async let request = server.serve { await store.read() }
            async let servedInTime = served(by: server)
            let served = await servedInTime
            _ = await request
            #expect(await server.served == served, "served after shutdown")
        }

        /// How many requests were served when the shutdown was over.
        private func served(by server: some Serving) async -> Int {
            await server.shutdown()
            return await server.served
        }
    }
}

private actor Store {
    func read() {}
}

private protocol Serving: Actor {
    var served: Int { get }
    func serve(_ request: @Sendable () async -> Void) async -> Bool
    func shutdown() async
}

extension Server: Serving {}
extension BrokenServer: Serving {}
