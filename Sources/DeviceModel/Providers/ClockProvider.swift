// SPDX-License-Identifier: Apache-2.0

public import Quiesce
import Substrate

/// The hardware of a clock. Its functions are called one at a time.
public protocol ClockHardware: Sendable {
    func enable() throws
    func disable() throws
    /// Hertz.
    func rate() throws -> UInt64
    /// - Returns: the rate that it has taken, in hertz.
    func setRate(_ hertz: UInt64) throws -> UInt64
}

/// A clock that a driver offers to others. Kernel counterpart: `struct clk_hw`.
public final class ClockProvider: SwitchedProvider {
    public let name: String
    public let gate: Gate

    private let hardware: any ClockHardware
    let enables: SharedSwitch
    /// Taken once the clock has gone.
    private let parentHandle: ClockHandle?
    private let rates = Mutex(())

    /// - Parameter parent: the clock that this one is made from: it is on while this one is. When
    ///   it goes away, this one goes on without it.
    public init(name: String, _ hardware: any ClockHardware, parent: ClockProvider? = nil) {
        self.name = name
        self.hardware = hardware
        parentHandle = parent.map { ClockHandle($0) }
        gate = Gate(name: name)
        enables = SharedSwitch(name)
        rates.label(name + ".rate lock")
    }

    /// The clock that this one is made from; nil when there is none, or it has gone.
    public var parent: ClockProvider? {
        parentHandle.flatMap { $0.provider.isGone ? nil : $0.provider }
    }

    /// The clock, for a consumer.
    ///
    /// - Throws: `.noDevice` when it has gone.
    public func clock() throws(QuiesceError) -> ClockHandle {
        guard !isGone else { throw .noDevice(of: name, operation: "getting it") }
        return ClockHandle(self)
    }

    /// How often consumers have enabled it and not disabled it again.
    public var enableCount: Int { enables.total }

    public func end() {
        guard enables.reset() > 0 else { return }
        warn("\(name) has gone while consumers had enabled it; it is switched off")
        switchOff()
    }

    func switchOn() throws {
        if let parentHandle, !parentHandle.provider.isGone { try parentHandle.enable() }
        do { try hardware.enable() } catch {
            disableParent()
            throw error
        }
    }

    func switchOff() {
        do { try hardware.disable() } catch { warn("\(name): switching it off failed: \(error)") }
        disableParent()
    }

    private func disableParent() {
        guard let parentHandle, parentHandle.isEnabled else { return }
        do { try parentHandle.disable() } catch { warn("\(name): \(error)") }
    }

    fileprivate func rate() throws -> UInt64 {
        try call("reading its rate") { try rates.withLock { _ in try hardware.rate() } }
    }

    fileprivate func setRate(_ hertz: UInt64) throws -> UInt64 {
        try call("setting its rate") { try rates.withLock { _ in try hardware.setRate(hertz) } }
    }
}

/// A clock, as one consumer has it. What it has enabled is disabled when it ends. Kernel
/// counterpart: `struct clk`.
public final class ClockHandle: Sendable {
    private let own: OwnEnables<ClockProvider>

    fileprivate init(_ provider: ClockProvider) { own = OwnEnables(provider) }

    fileprivate var provider: ClockProvider { own.provider }

    /// Whether this consumer has enabled it.
    public var isEnabled: Bool { own.isAny }

    /// Switches it on, if it is not. Each call needs a `disable`. Kernel: `clk_prepare_enable`.
    ///
    /// - Throws: what the hardware throws; `.noDevice` when the clock has gone.
    public func enable() throws { try own.enable() }

    /// Switches it off, if no consumer needs it any more. A clock that has gone is off. Kernel:
    /// `clk_disable_unprepare`.
    ///
    /// - Throws: what the hardware throws; `.unbalanced` when this consumer has not enabled it.
    public func disable() throws { try own.disable() }

    /// Hertz.
    ///
    /// - Throws: what the hardware throws; `.noDevice`.
    public func rate() throws -> UInt64 { try provider.rate() }

    /// - Returns: the rate that it has taken, in hertz.
    /// - Throws: what the hardware throws; `.noDevice`.
    @discardableResult
    public func setRate(_ hertz: UInt64) throws -> UInt64 { try provider.setRate(hertz) }
}
