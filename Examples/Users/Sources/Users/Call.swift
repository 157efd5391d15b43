// SPDX-License-Identifier: Apache-2.0

/// No reply came in time.
public struct TimedOut: Error {
    public init() {}
}

/// One call to a peer that may never reply.
///
/// Wrong: when time is up the waiting caller is resumed, but the call still has the continuation. A
/// reply that comes late resumes it again, which traps.
public actor BrokenCall {
    private var caller: CheckedContinuation<String, any Error>?
    private var early: String?

    public init() {}

    /// The reply. Throws when it does not come in time.
    public func reply(within time: Duration) async throws -> String {
        if let early { return early }
        let timer = Task {
            try await Task.sleep(for: time)
            giveUp()
        }
        defer { timer.cancel() }
        return try await withCheckedThrowingContinuation { caller = $0 }
    }

    /// Called by the connection when the reply has arrived.
    public func arrived(_ reply: String) {
        early = reply
        caller?.resume(returning: reply)
        caller = nil
    }

    private func giveUp() {
        caller?.resume(throwing: TimedOut())
    }
}

/// One call to a peer that may never reply.
///
/// Right: whoever resumes the caller takes the continuation first. The other one finds none.
public actor Call {
    private var caller: CheckedContinuation<String, any Error>?
    private var early: String?

    public init() {}

    /// The reply. Throws when it does not come in time.
    public func reply(within time: Duration) async throws -> String {
        if let early { return early }
        let timer = Task {
            try await Task.sleep(for: time)
            giveUp()
        }
        defer { timer.cancel() }
        return try await withCheckedThrowingContinuation { caller = $0 }
    }

    /// Called by the connection when the reply has arrived.
    public func arrived(_ reply: String) {
        early = reply
        takeCaller()?.resume(returning: reply)
    }

    private func giveUp() { takeCaller()?.resume(throwing: TimedOut()) }

    private func takeCaller() -> CheckedContinuation<String, any Error>? {
        defer { caller = nil }
        return caller
    }
}
