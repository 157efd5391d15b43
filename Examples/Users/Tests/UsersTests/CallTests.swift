// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Testing
import Users

struct CallTests {
    @Test(.everyInterleaving)
    func `a call ends once`() async { await replyOrTimeout(Call()) }

    @Test(.finds(.resumedTwice, at: "giveUp()"), .everyInterleaving)
    func `a broken call ends twice`() async { await replyOrTimeout(BrokenCall()) }

    private func replyOrTimeout(_ call: some Calling) async {
        async let reply = call.reply(within: .seconds(1))
        await call.arrived("hello")
        do {
            #expect(try await reply == "hello")
        } catch {
            #expect(error is TimedOut)
        }
    }
}

private protocol Calling: Actor {
    func reply(within time: Duration) async throws -> String
    func arrived(_ reply: String)
}

extension Call: Calling {}
extension BrokenCall: Calling {}
