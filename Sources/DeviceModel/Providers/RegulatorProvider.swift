// SPDX-License-Identifier: Apache-2.0

public import Quiesce
import Substrate

/// The hardware of a regulator. Its functions are called one at a time.
public protocol RegulatorHardware: Sendable {
    func enable() throws
    func disable() throws
}

/// A regulator that a driver offers to others. Kernel counterpart: `struct regulator_dev`.
public final class RegulatorProvider: SwitchedProvider {
    public let name: String
    public let gate: Gate

    private let hardware: any RegulatorHardware
    private let queue: WorkQueue
    let enables: SharedSwitch
    /// How many enables are to be taken back when the timer fires.
    private let deferred = Mutex(0)
    private let timer = Mutex<DelayedWork?>(nil)

    /// - Parameter queue: where it is switched off later.
    public init(name: String, _ hardware: any RegulatorHardware, queue: WorkQueue) {
        self.name = name
        self.hardware = hardware
        self.queue = queue
        gate = Gate(name: name)
        enables = SharedSwitch(name)
        deferred.label(name + ".deferred")
        timer.label(name + ".timer")
        let item = DelayedWork(name: "\(name): switch off later") { [weak self] in
            self?.disableDeferred()
        }
        timer.withLock { $0 = item }
    }

    /// The regulator, for a consumer.
    ///
    /// - Throws: `.noDevice` when it has gone.
    public func regulator() throws(QuiesceError) -> Regulator {
        guard !isGone else { throw .noDevice(of: name, operation: "getting it") }
        return Regulator(self)
    }

    /// How often consumers have enabled it and not disabled it again.
    public var enableCount: Int { enables.total }

    /// What was to be switched off later is switched off now.
    public func end() {
        timer.withLock { $0.take() }?.cancel()
        let later = deferred.withLock { count in
            defer { count = 0 }
            return count
        }
        let left = enables.reset()
        guard left > 0 else { return }
        if left > later {
            warn("\(name) has gone while consumers had enabled it; it is switched off")
        }
        switchOff()
    }

    func switchOn() throws { try hardware.enable() }

    func switchOff() {
        do { try hardware.disable() } catch { warn("\(name): switching it off failed: \(error)") }
    }

    fileprivate func disable(after delay: Duration) {
        deferred.withLock { $0 += 1 }
        // Gone, and so off.
        guard let item = timer.withLock({ $0 }) else { return }
        switch queue.reschedule(item, after: delay) {
        case .queued, .alreadyPending: break
        // The queue will not do it later.
        case .disabled, .draining: disableDeferred()
        }
    }

    private func disableDeferred() {
        let count = deferred.withLock { count in
            defer { count = 0 }
            return count
        }
        for _ in 0..<count {
            do { try disable() } catch { warn("\(name): switching it off failed: \(error)") }
        }
    }
}

/// A regulator, as one consumer has it. What it has enabled is disabled when it ends. Kernel
/// counterpart: `struct regulator`.
public final class Regulator: Sendable {
    private let own: OwnEnables<RegulatorProvider>

    fileprivate init(_ provider: RegulatorProvider) { own = OwnEnables(provider) }

    /// Whether this consumer has enabled it.
    public var isEnabled: Bool { own.isAny }

    /// Switches it on, if it is not. Each call needs a `disable`.
    ///
    /// - Throws: what the hardware throws; `.noDevice` when the regulator has gone.
    public func enable() throws { try own.enable() }

    /// Switches it off, if no consumer needs it any more. A regulator that has gone is off.
    ///
    /// - Throws: what the hardware throws; `.unbalanced` when this consumer has not enabled it.
    public func disable() throws { try own.disable() }

    /// Switches it off later; before it goes away in any case. A second call starts the time anew.
    /// Kernel: `regulator_disable_deferred`.
    ///
    /// - Throws: `.unbalanced` when this consumer has not enabled it.
    public func disable(after delay: Duration) throws {
        try own.takeOne()
        own.provider.disable(after: delay)
    }
}
