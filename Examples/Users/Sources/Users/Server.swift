// SPDX-License-Identifier: Apache-2.0

/// A server whose shutdown only turns new requests away.
///
/// Wrong: a request that is inside when `shutdown` is called goes on after it has returned, and uses what is torn down by then.
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

/// A server whose shutdown waits for the requests that are inside.
///
/// Right: a request is counted in the step in which it finds the server open. The last one to leave resumes those who wait.
public actor Server {
    /// Requests that were served.
    public private(set) var served = 0
    private var isOpen = true
    private var inside = 0
    private var closers: [CheckedContinuation<Void, Never>] = []

    public init() {}

    /// Serves one request. False when the server is shut down.
    public func serve(_ request: @Sendable () async -> Void) async -> Bool {
        guard isOpen else { return false }
        inside += 1
        await request()
        served += 1
        inside -= 1
        if inside == 0 {
            for closer in closers { closer.resume() }
            closers = []
        }
        return true
    }

    /// Shuts down: nothing is served after it.
    public func shutdown() async {
        isOpen = false
        if inside > 0 { await withCheckedContinuation { closers.append($0) } }
    }
}
