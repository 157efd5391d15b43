// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Substrate

/// What devices are found on, and drivers are registered with: it brings the two together.
///
/// Devices and drivers may come and go in any order, and from any thread. A device that comes is
/// probed by the drivers that are there, and a driver that comes probes the devices that have none;
/// both happen before the call returns, unless another thread does it. A probe that is deferred is
/// tried again by the next call that binds a device.
///
/// Adding, finding, binding, unbinding and removing a device take no longer with a million of them.
/// A bus that has devices lives until it is closed, or they are removed.
///
/// Kernel counterpart: `struct bus_type`.
public final class Bus: Sendable {
    /// What messages and traces call it.
    public let name: String

    /// The graph's lock protects it.
    let core = Unsynchronized(Core())

    struct Core {
        var devices: [String: Device] = [:]
        var entries: [DriverEntry] = []
        var isClosed = false
        var subscribers: [ObjectIdentifier: EventBuffer] = [:]

        func post(_ kind: DeviceEvent.Kind, _ device: Device, _ driver: (any Driver)? = nil) {
            guard !subscribers.isEmpty else { return }
            let event = DeviceEvent(kind: kind, device: device, driver: driver?.name)
            for subscriber in subscribers.values { subscriber.append(event) }
        }
    }

    /// - Parameter name: what messages and traces call it.
    public init(name: String = "bus") {
        self.name = name
        core.label(name)
    }

    // MARK: Looking

    /// The device of this name.
    public func device(named name: String) -> Device? {
        DeviceGraph.look { _ in core.withValue { $0.devices[name] } }
    }

    /// The devices, in the order in which they came.
    public var devices: [Device] { DeviceGraph.look { _ in devicesInOrder } }

    var devicesInOrder: [Device] {
        core.withValue { core in
            core.devices.values.map { ($0.core.withValue { $0.number }, $0) }
                .sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    public var deviceCount: Int { DeviceGraph.look { _ in core.withValue { $0.devices.count } } }

    // MARK: Devices

    /// Adds a device, and has the drivers probe it that match. Kernel: `device_add`.
    ///
    /// A device that no driver took stays on the bus: see `Device.isBound`,
    /// `Device.probeFailure`, and the bus's events.
    ///
    /// - Throws: `.exists` when there is one of this name, or the device is on a bus already;
    ///   `.noDevice` when its parent is leaving, or it is itself; `.closed`; `.releasesFailed` when
    ///   a probe failed and then a release threw.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func add(_ device: Device) throws { try Walk(try enter(device)).run(until: nil) }

    /// Adds a device, as the blocking spelling.
    public func add(_ device: Device) async throws {
        try await Walk(try enter(device)).run(until: nil)
    }

    /// Unbinds a device from its driver and takes it off the bus; before it its children, in the
    /// same way. It lives on while somebody refers to it. Kernel: `device_del`.
    ///
    /// A device that is not here has been removed; of several callers each returns when it is.
    ///
    /// - Throws: as `Device.unbind`. On `.inside` nothing has changed; after a deadline no driver
    ///   is bound to the device any more that was not, and another call goes on.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func remove(_ device: Device, within timeout: Duration? = nil) throws {
        try Walk(.remove(device, self)).run(until: WorldClock.deadline(within: timeout))
    }

    /// Removes a device, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    public func remove(_ device: Device, within timeout: Duration? = nil) async throws {
        try await Walk(.remove(device, self)).run(until: WorldClock.deadline(within: timeout))
    }

    private func enter(_ device: Device) throws(QuiesceError) -> Walk.Goal {
        let drivers: Result<[DriverEntry], QuiesceError> = DeviceGraph.change("add to the bus") {
            state in
            if core.withValue({ $0.isClosed }) { return .failure(.closed(name)) }
            let isKnown =
                device.core.withValue { $0.bus != nil }
                || core.withValue { $0.devices[device.name] != nil }
            if isKnown { return .failure(.exists("\(device) on \(name)")) }
            if let parent = device.parent, parent.core.withValue({ $0.isLeaving }) {
                return .failure(.noDevice(of: parent.name, operation: "adding \(device)"))
            }
            let number = state.nextNumber()
            device.core.withValue { core in
                core.isLeaving = false
                core.bus = self
                core.number = number
            }
            device.parent?.core.withValue { $0.children[ObjectIdentifier(device)] = device }
            return core.withValue { core in
                core.devices[device.name] = device
                core.post(.added, device)
                return .success(core.entries)
            }
        }
        let all = try drivers.get()
        DeviceGraph.wake()
        return .attach(device, all.reversed()[...])
    }

    // MARK: Drivers

    /// Registers a driver, and has it probe the devices that match and have none. Kernel:
    /// `driver_register`.
    ///
    /// - Throws: `.exists` when one of this name is registered; `.closed`; `.releasesFailed` when a
    ///   probe failed and then a release threw.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func register(_ driver: any Driver) throws {
        try Walk(try enter(driver)).run(until: nil)
    }

    /// Registers a driver, as the blocking spelling.
    public func register(_ driver: any Driver) async throws {
        try await Walk(try enter(driver)).run(until: nil)
    }

    /// Unbinds a driver from all its devices, and forgets it. Kernel: `driver_unregister`.
    ///
    /// - Throws: as `Device.unbind`; `.closed` when it is not registered.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func unregister(_ driver: any Driver, within timeout: Duration? = nil) throws {
        try Walk(try leave(driver)).run(until: WorldClock.deadline(within: timeout))
    }

    /// Unregisters a driver, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    public func unregister(_ driver: any Driver, within timeout: Duration? = nil) async throws {
        try await Walk(try leave(driver)).run(until: WorldClock.deadline(within: timeout))
    }

    private func enter(_ driver: any Driver) throws(QuiesceError) -> Walk.Goal {
        let entry = DriverEntry(driver)
        let devices: Result<[Device], QuiesceError> = DeviceGraph.change("register with") { _ in
            let refusal: QuiesceError? = core.withValue { core in
                if core.isClosed { return .closed(name) }
                if core.entries.contains(where: { $0.driver.name == driver.name }) {
                    return .exists("the driver \(driver.name) on \(name)")
                }
                core.entries.append(entry)
                return nil
            }
            return refusal.map { .failure($0) } ?? .success(devicesInOrder)
        }
        return .register(entry, try devices.get().reversed()[...])
    }

    private func leave(_ driver: any Driver) throws(QuiesceError) -> Walk.Goal {
        guard let entry = DeviceGraph.look({ _ in entry(of: driver) }) else {
            throw .closed("the driver \(driver.name)")
        }
        return .retire(entry, self)
    }

    /// The caller has the graph's lock.
    func entry(of driver: any Driver) -> DriverEntry? {
        core.withValue { $0.entries.first { $0.driver === driver } }
    }

    // MARK: Its end

    /// Removes all devices, those that came last first, but consumers before their suppliers and
    /// children before their parents; then forgets the drivers, and ends the streams of events.
    /// Nothing can be added any more.
    ///
    /// - Throws: as `remove`.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func close(within timeout: Duration? = nil) throws {
        try Walk(.close(self, nil)).run(until: WorldClock.deadline(within: timeout))
    }

    /// Closes the bus, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    public func close(within timeout: Duration? = nil) async throws {
        try await Walk(.close(self, nil)).run(until: WorldClock.deadline(within: timeout))
    }
}

extension Bus: CustomStringConvertible {
    public var description: String { name }
}
