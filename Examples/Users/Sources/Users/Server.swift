// SPDX-License-Identifier: Apache-2.0

import Quiesce

/// A server whose shutdown only turns new requests away.
///
/// Wrong: a request that is inside when `shutdown` is called goes on after it has returned, with what has been torn down.
public actor BrokenServer {
    /// Requests that were served.
    public private(set) var served = 0
    private var isOpen = true

    public init() {}

    /// Serves one request. False when the server is shut down.
    public func serve(_ request: @Sendable () async -> Void) async -> Bool {
        guard isOpen else { return false }
        await request()
        served += 1
        return true
    }

    /// Shuts down: nothing is served after it.
    public func shutdown() { isOpen = false }
}

/// A server whose shutdown waits for the requests that are inside.
///
/// Right: `close` lets nobody in any more and returns when the last one has left.
public actor Server {
    /// Requests that were served.
    public private(set) var served = 0
    private let gate = Gate(name: "server")

    public init() {}

    /// Serves one request. False when the server is shut down.
    public func serve(_ request: @Sendable () async -> Void) async -> Bool {
        let done: Void? = await gate.withTaskEntry { _ in
            await request()
            served += 1
        }
        return done != nil
    }

    /// Shuts down: nothing is served after it.
    public func shutdown() async throws { try await gate.close() }
}
