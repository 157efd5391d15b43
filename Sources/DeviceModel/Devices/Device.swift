// SPDX-License-Identifier: Apache-2.0

public import Quiesce
import Substrate

/// A device: what a bus finds, and a driver is bound to.
///
/// It may go away while it is in use. Then its driver is unbound and it leaves its bus, and lives
/// on as long as somebody refers to it: an open file does, and so does a child.
///
///     let bus = Bus(name: "usb")
///     try bus.register(CameraDriver())
///     let camera = Device(name: "1-1", compatible: ["acme,camera"])
///     try bus.add(camera)              // the driver's probe runs
///     …
///     try bus.remove(camera)           // the driver's remove runs
///
/// Kernel counterpart: `struct device`.
public final class Device: Sendable {
    /// What messages, traces and the bus call it.
    public let name: String
    /// What it is, the most specific first: drivers are chosen by it.
    public let compatible: [String]
    /// The device that it hangs on, and that it keeps.
    public let parent: Device?
    /// What lives as long as the device, which may be long after it left its bus: it ends with the
    /// last reference to the device.
    public let scope: ObjectScope

    /// The graph's lock protects it.
    let core = Unsynchronized(Core())

    /// What changes about a device.
    struct Core {
        /// The bus that it is on.
        var bus: Bus?
        /// Where it stands among the bus's, by when it came.
        var number: UInt64 = 0
        var phase = Phase.unbound
        /// The driver that it is bound to, or that is probing it.
        var binding: Binding?
        /// The walk that changes its phase.
        var owner: Owner?
        /// Whether it is about to leave its bus: no driver is bound to it any more.
        var isLeaving = false
        var children: [ObjectIdentifier: Device] = [:]
        /// Those that it is the consumer of, and those that it is the supplier of.
        var suppliers: [DeviceLink] = []
        var consumers: [DeviceLink] = []
        /// Drivers that came while somebody changed its phase, and are still to be tried.
        var missed: [DriverEntry] = []
        var isDeferred = false
        var failure: (any Error)?
    }

    enum Phase: Equatable {
        case unbound, probing, bound
        /// Users are being kept out, and what the driver has is being released. Nil while the
        /// consumers of the device come first.
        case unbinding(Stage?)
    }

    /// The parts of an unbinding, in their order. Kernel: `__device_release_driver`.
    enum Stage: Equatable {
        case registrations, gate, resources
    }

    /// The walk that changes the phase of a device.
    struct Owner {
        let walk: Walk.Identity
        /// The thread that does; 0 while a task waits.
        var thread: UInt32
    }

    /// - Parameters:
    ///   - name: what messages, traces and the bus call it.
    ///   - compatible: what it is, the most specific first.
    ///   - parent: the device that it hangs on. A device leaves its bus after its children.
    public init(name: String, compatible: [String] = [], parent: Device? = nil) {
        self.name = name
        self.compatible = compatible
        self.parent = parent
        scope = ObjectScope(name: name)
        core.label(name)
    }

    /// Whether a driver is bound to it.
    public var isBound: Bool { DeviceGraph.look { _ in core.withValue { $0.phase == .bound } } }

    /// The driver that is bound to it.
    public var driver: (any Driver)? {
        DeviceGraph.look { _ in
            core.withValue { $0.phase == .bound ? $0.binding?.entry.driver : nil }
        }
    }

    /// The bus that it is on.
    public var bus: Bus? { DeviceGraph.look { _ in core.withValue { $0.bus } } }

    /// Whether a driver waits for something else before it can be bound to the device.
    public var isDeferred: Bool { DeviceGraph.look { _ in core.withValue { $0.isDeferred } } }

    /// What the last probe of it threw, if it failed.
    public var probeFailure: (any Error)? {
        DeviceGraph.look { _ in core.withValue { $0.failure } }
    }
}

extension Device: CustomStringConvertible {
    public var description: String { name }
}

// MARK: Binding by hand

extension Device {
    /// Binds the device to a driver that is registered on its bus, whether they match or not.
    /// Kernel: `device_driver_attach`.
    ///
    /// The driver's `probe` runs here. A probe that fails releases what it acquired, and waits for
    /// the users that it has let in.
    ///
    /// - Throws: what `probe` throws; `ProbeDeferral` also when a supplier has no driver yet, and
    ///   then the device is bound when it has. `.busy` when the device is bound, or somebody binds
    ///   or unbinds it; `.inside` from a callback for this device; `.noDevice` when it is on no
    ///   bus, or leaves it; `.closed` when the driver is not registered there.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func bind(to driver: any Driver) throws {
        try Walk(.bind(self, driver)).run(until: nil)
    }

    /// Binds the device to a driver, as the blocking spelling.
    public func bind(to driver: any Driver) async throws {
        try await Walk(.bind(self, driver)).run(until: nil)
    }

    /// Unbinds the device from its driver: when it returns, no operation of the driver runs or will
    /// run, and what the driver had acquired is released. Kernel: `device_release_driver`.
    ///
    /// In this order: devices that are linked to this one as consumers are unbound, users are kept
    /// out (registrations end), the driver's `remove` runs, and what the driver acquired is
    /// released, the last first. Unbinding what has no driver does nothing; of several callers each
    /// returns when it is over.
    ///
    /// - Parameter timeout: how long to wait for those inside; nil for as long as it takes. When it
    ///   is over, the device has no new users, and another call goes on.
    /// - Throws: `.inside` from an operation or a callback for this device, or for one of its
    ///   consumers: nothing has changed. `.releasesFailed` when releases threw, and then the device
    ///   is unbound all the same. `.timedOut`, which names those inside.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func unbind(within timeout: Duration? = nil) throws {
        try Walk(.unbind(self)).run(until: WorldClock.deadline(within: timeout))
    }

    /// Unbinds the device from its driver, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`.
    public func unbind(within timeout: Duration? = nil) async throws {
        try await Walk(.unbind(self)).run(until: WorldClock.deadline(within: timeout))
    }
}
