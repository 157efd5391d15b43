// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Substrate

/// The devices of a world: one lock protects what changes about buses, devices, drivers and links,
/// since a change may concern devices of several buses.
///
/// No callback of a driver runs under it.
final class DeviceGraph: Sendable {
    private static let key = WorldKey<DeviceGraph>()
    static var current: DeviceGraph { World.current.value(key) { DeviceGraph() } }

    struct State {
        private var lastNumber: UInt64 = 0
        /// How many bindings there have been.
        private(set) var progress: UInt64 = 0
        /// Devices whose drivers wait for something, until there is progress.
        var deferred: [Device] = []
        /// Devices that are to be probed again; by those drivers, the last first, or by all.
        var ready = Line<Retry>()

        struct Retry {
            let device: Device
            let drivers: [DriverEntry]?
        }

        mutating func nextNumber() -> UInt64 {
            lastNumber += 1
            return lastNumber
        }

        /// A device has been bound: what waited for something may find it now.
        mutating func progressed() {
            progress += 1
            for device in deferred { ready.append(Retry(device: device, drivers: nil)) }
            deferred = []
        }

        /// The one that has been ready longest, with the drivers that are to probe it, the last
        /// first.
        mutating func takeReady() -> (device: Device, drivers: [DriverEntry])? {
            guard let next = ready.popFirst() else { return nil }
            let all = next.device.core.withValue { core in
                core.isDeferred = false
                return core.bus?.core.withValue { $0.entries } ?? []
            }
            return (next.device, next.drivers ?? all.reversed())
        }
    }

    private let state = Mutex(State())
    private let whole = Subject()
    /// The walks that wait for another one to let go of a device, and the readers of events.
    let changes = WaitQueue(name: "devices")
    /// How many callbacks of drivers the running thread is in.
    let callbacks = ThreadLocal(0)

    private init() {
        whole.label("devices") { state.label("devices.lock") }
    }

    /// Wakes those that wait for a change.
    static func wake() { current.changes.wake() }

    static func change<Result>(
        _ what: StaticString, _ body: (inout State) -> sending Result
    ) -> Result {
        let graph = current
        return graph.whole.write(what) {
            ForkSection.run { graph.state.withLock { body(&$0) } }
        }
    }

    static func look<Result>(_ body: (inout State) -> sending Result) -> Result {
        let graph = current
        return graph.whole.read("look at") {
            ForkSection.run { graph.state.withLock { body(&$0) } }
        }
    }
}

/// What waits, the first first. Adding and taking cost the same whatever waits.
struct Line<Element> {
    private var elements: [Element] = []
    /// How many of them are taken.
    private var taken = 0

    var isEmpty: Bool { taken == elements.count }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func popFirst() -> Element? {
        guard !isEmpty else { return nil }
        let element = elements[taken]
        taken += 1
        if taken * 2 > elements.count {
            elements.removeFirst(taken)
            taken = 0
        }
        return element
    }
}

extension Line: Sendable where Element: Sendable {}
