// SPDX-License-Identifier: Apache-2.0

import QuiesceTesting
import Testing
import Users

struct ConnectionPoolTests {
    @Test(.everyInterleaving)
    func `a pool hands out open connections`() async { await takeWhileClosing(ConnectionPool.self) }

    @Test(.finds(.expectation, at: "for connection in idle"), .everyInterleaving)
    func `a broken pool hands out a closed connection`() async {
        await takeWhileClosing(BrokenConnectionPool.self)
    }

    private func takeWhileClosing<P: Pooling>(_: P.Type) async {
        let pool = P([Connection()])
        async let closing: Void = pool.closeIdle()
        let connection = await pool.take()
        #expect(await connection.ping(), "the pool handed out a closed connection")
        await closing
    }
}

private protocol Pooling: Actor {
    init(_ connections: [Connection])
    func take() -> Connection
    func closeIdle() async
}

extension ConnectionPool: Pooling {}
extension BrokenConnectionPool: Pooling {}
