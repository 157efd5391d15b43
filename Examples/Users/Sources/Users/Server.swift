// SPDX-License-Identifier: Apache-2.0

import Quiesce

/// A server whose shutdown only turns new requests away.
///
/// Wrong: a request that is inside when `shutdown` is called goes on after it has returned, and
/// uses what is torn down by then.
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
    public func shutdown() async { isOpen = false }
}

/// A server whose requests are inside a gate.
///
/// Right: closing the gate lets nobody in any more, and waits for those who are inside.
public actor Server {
    /// Requests that were served.
    public private(set) var served = 0
    private let gate = Gate(name: "server")

    public init() {}

    /// Serves one request. False when the server is shut down.
    public func serve(_ request: @Sendable () async -> Void) async -> Bool {
        let isServed: Void? = await gate.withTaskEntry { _ in
            await request()
            served += 1
        }
        return isServed != nil
    }

    /// Shuts down: nothing is served after it. Throws when a request that is inside calls it, or
    /// when the task is cancelled.
    public func shutdown() async throws { try await gate.close() }
}
