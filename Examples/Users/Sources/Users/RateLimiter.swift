// SPDX-License-Identifier: Apache-2.0

/// Receives how much was used in each minute. Stands for a service on the network.
public actor UsageLog {
    /// What was used, minute by minute.
    public private(set) var entries: [Int] = []

    public init() {}

    /// Adds an entry.
    public func record(_ used: Int) { entries.append(used) }
}

/// Lets a limited number of requests through in each minute.
///
/// Wrong: a new minute begins only after the old one is recorded. Two requests that arrive
/// meanwhile both begin it: the second forgets what the first has used.
public actor BrokenRateLimiter {
    private let limit: Int
    private let log: UsageLog
    private var minute = 0
    private var used = 0

    public init(limit: Int, log: UsageLog) {
        self.limit = limit
        self.log = log
    }

    /// Whether a request that arrives in `now` may pass.
    public func admits(inMinute now: Int) async -> Bool {
        if now > minute {
            await log.record(used)
            minute = now
            used = 0
        }
        guard used < limit else { return false }
        used += 1
        return true
    }
}

/// Lets a limited number of requests through in each minute.
///
/// Right: the new minute begins, and the request is counted in it, before anything is awaited.
/// Recording comes last.
public actor RateLimiter {
    private let limit: Int
    private let log: UsageLog
    private var minute = 0
    private var used = 0

    public init(limit: Int, log: UsageLog) {
        self.limit = limit
        self.log = log
    }

    /// Whether a request that arrives in `now` may pass.
    public func admits(inMinute now: Int) async -> Bool {
        var ended: Int?
        if now > minute {
            ended = used
            minute = now
            used = 0
        }
        let isAdmitted = used < limit
        if isAdmitted { used += 1 }
        if let ended { await log.record(ended) }
        return isAdmitted
    }
}
