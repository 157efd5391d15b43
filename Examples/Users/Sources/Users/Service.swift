// SPDX-License-Identifier: Apache-2.0

/// A service that works off its jobs until it is stopped.
///
/// Wrong: there is room for one who waits. When a second one stops the service as well, the first
/// is forgotten and waits for ever.
public actor BrokenService {
    private enum Phase { case running, stopping, stopped }

    private var phase = Phase.running
    private var stopper: CheckedContinuation<Void, Never>?

    public init() {}

    /// Runs the jobs, until there is none left or the service is stopped.
    public func run(_ jobs: [@Sendable () async -> Void]) async {
        for job in jobs where phase == .running { await job() }
        phase = .stopped
        stopper?.resume()
        stopper = nil
    }

    /// Stops the service, and waits until it has stopped.
    public func stop() async {
        if phase == .stopped { return }
        phase = .stopping
        await withCheckedContinuation { stopper = $0 }
    }
}

/// A service that works off its jobs until it is stopped.
///
/// Right: everybody who waits is remembered and resumed.
public actor Service {
    private enum Phase { case running, stopping, stopped }

    private var phase = Phase.running
    private var stoppers: [CheckedContinuation<Void, Never>] = []

    public init() {}

    /// Runs the jobs, until there is none left or the service is stopped.
    public func run(_ jobs: [@Sendable () async -> Void]) async {
        for job in jobs where phase == .running { await job() }
        phase = .stopped
        for stopper in stoppers { stopper.resume() }
        stoppers = []
    }

    /// Stops the service, and waits until it has stopped.
    public func stop() async {
        if phase == .stopped { return }
        phase = .stopping
        await withCheckedContinuation { stoppers.append($0) }
    }
}
