// SPDX-License-Identifier: Apache-2.0

public import Quiesce
import Substrate

/// A dependence between two devices that the tree of parents does not show: the consumer needs what
/// the supplier's driver offers.
///
/// A managed link decides the order: the consumer is probed after the supplier is bound, and
/// unbound before it. Kernel counterpart: `struct device_link`.
public final class DeviceLink: Sendable {
    public let consumer: Device
    public let supplier: Device
    public let kind: Kind

    public enum Kind: Sendable, Equatable {
        /// The order of probes and of removals follows the link, which stays until one of the
        /// devices leaves its bus, or until one of its ends is unbound, if it says so.
        case managed(endsWith: End? = nil)
        /// Only says that the two belong together: circles are refused, and nothing else. It stays
        /// until `remove()`.
        case stateless
    }

    /// An end of a link.
    public enum End: Sendable {
        case consumer, supplier
    }

    /// How far a managed link is. It follows from the states of the two devices.
    public enum State: Sendable {
        /// The supplier has no driver.
        case dormant
        /// The supplier is bound, the consumer is not.
        case available
        /// The supplier is bound, and the consumer is being probed.
        case consumerProbe
        /// Both are bound.
        case active
        /// The supplier is being unbound.
        case supplierUnbind
    }

    init(_ consumer: Device, _ supplier: Device, _ kind: Kind) {
        self.consumer = consumer
        self.supplier = supplier
        self.kind = kind
    }

    var isManaged: Bool { kind != .stateless }

    /// How far it is; nil for one that is stateless.
    public var state: State? {
        guard isManaged else { return nil }
        return DeviceGraph.look { _ in
            switch (supplier.core.withValue { $0.phase }, consumer.core.withValue { $0.phase }) {
            case (.unbound, _), (.probing, _): .dormant
            case (.unbinding, _): .supplierUnbind
            case (.bound, .probing): .consumerProbe
            case (.bound, .bound), (.bound, .unbinding): .active
            case (.bound, .unbound): .available
            }
        }
    }

    /// Whether it is still there.
    public var isPresent: Bool {
        DeviceGraph.look { _ in consumer.core.withValue { $0.suppliers.contains { $0 === self } } }
    }

    /// Ends a stateless link. Kernel: `device_link_del`.
    ///
    /// - Throws: `.busy` for a managed link, which its devices end.
    public func remove() throws(QuiesceError) {
        guard !isManaged else { throw .busy(of: "\(self)", operation: "removal") }
        DeviceGraph.change("unlink") { _ in discard() }
    }

    /// Takes it out of both devices. The caller has the graph's lock.
    func discard() {
        consumer.core.withValue { $0.suppliers.removeAll { $0 === self } }
        supplier.core.withValue { $0.consumers.removeAll { $0 === self } }
    }
}

extension DeviceLink: CustomStringConvertible {
    public var description: String { "the link from \(consumer) to \(supplier)" }
}

extension Device {
    /// Makes this device a consumer of `supplier`. Kernel: `device_link_add`.
    ///
    /// A link that is there already is returned, if it is of this kind. Takes time in proportion to
    /// what the supplier depends on.
    ///
    /// - Throws: `.cycle` when the supplier depends on this device, by links or as a child, or is
    ///   it; `.exists` when there is a link of another kind; `.noDevice` when one of the two is
    ///   leaving its bus.
    @discardableResult
    public func link(to supplier: Device, _ kind: DeviceLink.Kind = .managed())
        throws(QuiesceError) -> DeviceLink
    {
        let link: Result<DeviceLink, QuiesceError> = DeviceGraph.change("link") { _ in
            for device in [self, supplier] where device.core.withValue({ $0.isLeaving }) {
                return .failure(.noDevice(of: device.name, operation: "linking"))
            }
            if let found = core.withValue({ $0.suppliers.first { $0.supplier === supplier } }) {
                return found.kind == kind
                    ? .success(found)
                    : .failure(.exists("another link from \(name) to \(supplier)"))
            }
            if supplier.depends(on: self) { return .failure(.cycle("\(name) needs \(supplier)")) }
            let link = DeviceLink(self, supplier, kind)
            core.withValue { $0.suppliers.append(link) }
            supplier.core.withValue { $0.consumers.append(link) }
            return .success(link)
        }
        return try link.get()
    }

    /// The links that this device is the consumer of.
    public var supplierLinks: [DeviceLink] {
        DeviceGraph.look { _ in core.withValue { $0.suppliers } }
    }

    /// Whether this device is `other`, hangs on it, or needs it, perhaps through others. The caller
    /// has the graph's lock.
    private func depends(on other: Device) -> Bool {
        var open = [self]
        var known: Set<ObjectIdentifier> = []
        while let next = open.popLast() {
            if next === other { return true }
            guard known.insert(ObjectIdentifier(next)).inserted else { continue }
            open += next.core.withValue { $0.suppliers.map(\.supplier) }
            if let parent = next.parent { open.append(parent) }
        }
        return false
    }
}
