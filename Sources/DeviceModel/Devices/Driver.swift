// SPDX-License-Identifier: Apache-2.0

public import Quiesce
import Substrate

/// A driver: what is bound to devices and makes them useful.
///
///     final class CameraDriver: Driver {
///         let name = "camera"
///         let compatible: Set = ["acme,camera"]
///
///         func probe(_ binding: Binding) throws -> Camera {
///             let registers = try binding.acquire("registers") { try Registers() }
///             let camera = Camera(registers)
///             try binding.addCharacterDevice("video0", camera)
///             return camera
///         }
///
///         func remove(_ camera: Camera, _ binding: Binding) { camera.stop() }
///     }
///
/// Its functions are called by the thread or task that adds, binds or unbinds, one at a time for a
/// device. They may take their time, and do not wait for what another of them does.
///
/// Kernel counterpart: `struct device_driver`.
public protocol Driver: AnyObject, Sendable {
    /// What it keeps for a device, from `probe` to `remove`. Kernel: driver data.
    associatedtype State: Sendable = Void

    /// What messages and events call it.
    var name: String { get }

    /// The kinds of devices that it drives; see `Device.compatible`. Empty unless the type says
    /// otherwise.
    var compatible: Set<String> { get }

    /// Whether it drives this device: whether one of the device's kinds is among its own, unless
    /// the type says otherwise. It may be called with any device of the bus, at any time.
    func matches(_ device: Device) -> Bool

    /// Makes the device useful. What it acquires and registers goes to the binding.
    ///
    /// - Throws: anything. Then what went to the binding is released, and another driver is tried.
    ///   `ProbeDeferral` when something is missing that may come later: the device is probed again
    ///   when another one has been bound.
    func probe(_ binding: Binding) throws -> State

    /// Stops the device. Users are kept out already, and what was acquired is still there. Called
    /// once after each `probe` that returned.
    func remove(_ state: State, _ binding: Binding)
}

extension Driver {
    public var compatible: Set<String> { [] }

    public func matches(_ device: Device) -> Bool {
        device.compatible.contains { compatible.contains($0) }
    }

    public func remove(_ state: State, _ binding: Binding) {}

    /// Probes, and returns what removes.
    fileprivate func begin(_ binding: Binding) throws -> @Sendable (Binding) -> Void {
        let state = try probe(binding)
        return { self.remove(state, $0) }
    }
}

/// Thrown by a driver's `probe` that lacks something which may come later. Kernel:
/// `-EPROBE_DEFER`.
///
/// The device is probed again when any other one has been bound. So a probe that binds devices of
/// its own and is deferred afterwards is tried again without an end.
public struct ProbeDeferral: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is missing.
    public let reason: String

    public init(_ reason: String) { self.reason = reason }

    public var description: String { "the probe waits: \(reason)" }
}

/// A driver that is registered on a bus. The graph's lock protects what changes.
final class DriverEntry: Sendable {
    let driver: any Driver
    /// The devices that it is bound to, is probing, or is being unbound from.
    let users = Unsynchronized<[ObjectIdentifier: Device]>([:])
    let isLeaving = Unsynchronized(false)

    init(_ driver: any Driver) {
        self.driver = driver
        users.label(driver.name + ".devices")
        isLeaving.label(driver.name + ".leaves")
    }
}

/// A driver that is bound to a device, or is about to be: what a driver has from `probe` until
/// after `remove`.
public final class Binding: Sendable {
    public let device: Device
    /// An entry of it is the proof that the driver is bound: it closes after `remove`, before
    /// anything that was acquired is released.
    public let gate: Gate
    /// What ends when the driver is unbound.
    public let scope: BindingScope

    let entry: DriverEntry
    private let ending = Unsynchronized<(@Sendable (Binding) -> Void)?>(nil)
    /// What `probe` threw. It is the device's owner's.
    let failure = Unsynchronized<(any Error)?>(nil)
    /// How many bindings there had been when `probe` began.
    let progress = Unsynchronized<UInt64>(0)

    init(_ device: Device, _ entry: DriverEntry) {
        self.device = device
        self.entry = entry
        gate = Gate(name: device.name)
        scope = BindingScope(name: device.name)
        ending.label(device.name + ".remove")
        failure.label(device.name + ".failure")
        progress.label(device.name + ".progress")
    }

    /// Acquires what the driver may use until it is unbound, behind the binding's gate: one entry
    /// of the gate reaches all that is acquired so, and every operation on a file has one.
    ///
    /// To release one of them early, acquire it with `scope.acquire`, behind a gate of its own.
    ///
    /// - Throws: as `BindingScope.acquire`.
    public func acquire<Value: ~Copyable & Sendable>(
        _ name: String, file: StaticString = #filePath, line: UInt = #line,
        _ make: () throws -> Value, release: (@Sendable (consuming Value) throws -> Void)? = nil
    ) throws -> Revocable<Value> {
        try scope.acquire(name, behind: gate, file: file, line: line, make, release: release)
    }

    func probe() throws { ending.store(try entry.driver.begin(self)) }

    /// Runs the driver's `remove`, unless `probe` failed.
    func remove() { ending.withValue { $0.take() }?(self) }
}
