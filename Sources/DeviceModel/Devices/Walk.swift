// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Substrate

/// Work on devices that may wait in between: a list of goals, of which the last is pursued first.
///
/// A device whose phase changes has an owner, the walk that changes it, and another walk waits
/// until it has none. A walk may own a supplier while it waits for a consumer and never the other
/// way round, and links form no circle: so no two walks wait for each other.
struct Walk {
    enum Goal {
        /// Have drivers probe a device, those that are left, the last first.
        case attach(Device, ArraySlice<DriverEntry>)
        /// Have a driver probe the devices that are left, the last first.
        case register(DriverEntry, ArraySlice<Device>)
        case bind(Device, any Driver)
        /// Unbind a device, if it is bound to this driver; from whatever driver if nil.
        case unbind(Device, from: DriverEntry?)
        /// Release what a binding has, whose device this walk owns.
        case release(Binding, Device.Stage)
        case remove(Device, Bus)
        case retire(DriverEntry, Bus)
        /// Remove what is left on a bus, the last first; nil for all.
        case close(Bus, ArraySlice<Device>?)
        /// Probe what was deferred, and may find now what it lacked.
        case retry

        static func unbind(_ device: Device) -> Goal { .unbind(device, from: nil) }
    }

    /// What a walk waits for.
    private enum Wait {
        /// The end of a part of a release.
        case stage(Binding, Device.Stage)
        /// The moment when no walk owns a device.
        case phase(Device)
    }

    /// Identifies a walk as the owner of devices.
    final class Identity: Sendable {}

    private let identity = Identity()
    private var goals: [Goal]
    /// The devices that this walk owns, suppliers before their consumers.
    private var owned: [Device] = []
    private var failures: [ReleaseFailure] = []
    /// What the probe threw of the device that was to be bound.
    private var probeFailure: (any Error)?
    /// Whether the walk must try deferred probes again before it ends.
    private var hasReady = false
    /// What errors are about.
    private let name: String

    /// - Throws: `.inside` when the goal would wait for the caller.
    init(_ goal: Goal) throws(QuiesceError) {
        goals = [goal]
        name = Self.name(of: goal)
        try Self.refuseInside(goal)
    }

    private static func name(of goal: Goal) -> String {
        switch goal {
        case .attach(let device, _), .bind(let device, _),
            .unbind(let device, _), .remove(let device, _):
            device.name
        case .release(let binding, _): binding.device.name
        case .register(let entry, _), .retire(let entry, _): entry.driver.name
        case .close(let bus, _): bus.name
        case .retry: "devices"
        }
    }

    // MARK: Running

    consuming func run(until deadline: WorldClock.Instant?) throws {
        do {
            while let wait = try next() {
                do { try pass(wait, until: deadline) } catch {
                    // Nothing is waited for twice: it is over, unless something else ended it.
                    guard note(error) else { throw error }
                    continue
                }
                advance(wait)
            }
        } catch { throw giveUp(error) }
        try finish()
    }

    consuming func run(until deadline: WorldClock.Instant?) async throws {
        do {
            while let wait = try next() {
                do {
                    handOver(to: 0)
                    defer { handOver(to: World.currentThread) }
                    try await pass(wait, until: deadline)
                } catch {
                    guard note(error) else { throw error }
                    continue
                }
                advance(wait)
            }
        } catch { throw giveUp(error) }
        try finish()
    }

    private func pass(_ wait: Wait, until deadline: WorldClock.Instant?) throws {
        switch wait {
        case .stage(let binding, .registrations):
            try binding.scope.closeRegistrations(until: deadline)
        case .stage(let binding, .gate): try binding.gate.close(until: deadline)
        case .stage(let binding, .resources): try binding.scope.close(until: deadline)
        case .phase(let device):
            do {
                try DeviceGraph.current.changes.wait(until: deadline) { !device.isOwned }
            } catch { throw error.naming(device) }
        }
    }

    private func pass(_ wait: Wait, until deadline: WorldClock.Instant?) async throws {
        switch wait {
        case .stage(let binding, .registrations):
            try await binding.scope.closeRegistrations(until: deadline)
        case .stage(let binding, .gate): try await binding.gate.close(until: deadline)
        case .stage(let binding, .resources): try await binding.scope.close(until: deadline)
        case .phase(let device):
            do {
                try await DeviceGraph.current.changes.wait(until: deadline) { !device.isOwned }
            } catch { throw (error as? QuiesceError)?.naming(device) ?? error }
        }
    }

    /// Takes note of releases that threw. What was waited for may be over then, as the next look
    /// tells.
    private mutating func note(_ error: any Error) -> Bool {
        guard case QuiesceError.releasesFailed(_, let failures) = error else { return false }
        self.failures += failures.filter { !$0.isRest }
        return true
    }

    private func finish() throws {
        guard failures.isEmpty else {
            let first = probeFailure.map { [ReleaseFailure(name, $0)] } ?? []
            throw QuiesceError.releasesFailed(of: name, first + failures)
        }
        if let probeFailure { throw probeFailure }
    }

    /// Gives back what the walk owns, and returns what it throws.
    private func giveUp(_ error: any Error) -> any Error {
        var stages: [ObjectIdentifier: Device.Stage] = [:]
        for case .release(let binding, let stage) in goals {
            stages[ObjectIdentifier(binding.device)] = stage
        }
        if !owned.isEmpty {
            DeviceGraph.change("give up a change of") { [owned, stages] _ in
                for device in owned {
                    device.core.withValue { core in
                        core.owner = nil
                        core.phase =
                            stages[ObjectIdentifier(device)].map { .unbinding($0) } ?? .bound
                    }
                }
            }
            DeviceGraph.wake()
        }
        guard !failures.isEmpty else { return error }
        return QuiesceError.releasesFailed(of: name, failures + [.rest(error)])
    }

    /// Says which thread works for the walk; 0 while its task waits.
    private func handOver(to thread: UInt32) {
        guard !owned.isEmpty else { return }
        DeviceGraph.change("hand over") { [owned] _ in
            for device in owned { device.core.withValue { $0.owner?.thread = thread } }
        }
    }

    /// Runs a driver's callback, in which the walks that it begins leave to this one what is
    /// deferred.
    private func callback(_ body: () throws -> Void) rethrows {
        let depth = DeviceGraph.current.callbacks
        depth.withValue { $0 += 1 }
        defer { depth.withValue { $0 -= 1 } }
        try body()
    }

    // MARK: Goals

    /// Pursues the goals until the walk must wait, and returns what for; nil when all is done.
    private mutating func next() throws -> Wait? {
        while true {
            guard let goal = goals.popLast() else {
                // In a callback: what was deferred is tried again when that is over.
                guard hasReady, DeviceGraph.current.callbacks.withValue({ $0 }) == 0 else {
                    return nil
                }
                hasReady = false
                goals = [.retry]
                continue
            }
            switch goal {
            case .retry: retry()
            case .attach(let device, let drivers): try attach(device, drivers)
            case .register(let entry, let devices):
                guard let device = devices.last else { continue }
                goals += [.register(entry, devices.dropLast()), .attach(device, [entry])]
            case .bind(let device, let driver):
                try bind(device, [try entry(of: driver, for: device)], byHand: true)
            case .unbind(let device, let entry):
                if try unbind(device, from: entry) {
                    goals.append(goal)
                    return .phase(device)
                }
            case .release(let binding, let stage):
                goals.append(goal)
                return .stage(binding, stage)
            case .remove(let device, let bus): remove(device, bus)
            case .retire(let entry, let bus): retire(entry, bus)
            case .close(let bus, let devices): close(bus, devices)
            }
        }
    }

    private mutating func retry() {
        let next = DeviceGraph.change("look for a deferred one of") { $0.takeReady() }
        guard let next else { return }
        goals += [.retry, .attach(next.device, next.drivers[...])]
    }

    private mutating func attach(_ device: Device, _ drivers: ArraySlice<DriverEntry>) throws {
        var left = drivers
        while let entry = left.last {
            if entry.driver.matches(device) { return try bind(device, left, byHand: false) }
            left.removeLast()
        }
    }

    // MARK: Binding

    private enum Claim {
        case granted
        /// The supplier that is not there yet.
        case deferred(Device)
        case refused(QuiesceError)
    }

    /// Has the last of the drivers probe a device. If it fails, the others are tried.
    private mutating func bind(
        _ device: Device, _ drivers: ArraySlice<DriverEntry>, byHand isByHand: Bool
    ) throws {
        guard let entry = drivers.last else { return }
        let binding = Binding(device, entry)
        switch claim(device, binding, drivers, byHand: isByHand) {
        case .refused(let error):
            if isByHand { throw error }
            // A driver that leaves is none; the others may take the device.
            if case .closed = error { goals.append(.attach(device, drivers.dropLast())) }
        case .deferred(let supplier):
            DeviceGraph.wake()
            if isByHand { throw ProbeDeferral("\(supplier) has no driver yet") }
        case .granted:
            owned.append(device)
            do { try callback { try binding.probe() } } catch {
                if isByHand { probeFailure = error }
                binding.failure.store(error)
                if !(error is ProbeDeferral), drivers.count > 1 {
                    goals.append(.attach(device, drivers.dropLast()))
                }
                goals.append(.release(binding, .registrations))
                return
            }
            owned.removeLast()
            let isReady = DeviceGraph.change("bind") { state in
                device.core.withValue { core in
                    core.phase = .bound
                    core.owner = nil
                    core.failure = nil
                    core.missed = []
                    core.bus?.core.withValue { $0.post(.bound, device, entry.driver) }
                }
                state.progressed()
                return !state.ready.isEmpty
            }
            if isReady { hasReady = true }
            DeviceGraph.wake()
        }
    }

    private func claim(
        _ device: Device, _ binding: Binding, _ drivers: ArraySlice<DriverEntry>,
        byHand isByHand: Bool
    ) -> Claim {
        let (thread, entry) = (World.currentThread, binding.entry)
        let operation = "binding to \(entry.driver.name)"
        return DeviceGraph.change("claim") { [identity] state in
            device.core.withValue { core -> Claim in
                guard let bus = core.bus, !core.isLeaving else {
                    return .refused(.noDevice(of: device.name, operation: operation))
                }
                guard !entry.isLeaving.load() else { return .refused(.closed(entry.driver.name)) }
                if let owner = core.owner {
                    if isByHand, owner.thread == thread {
                        return .refused(.inside(of: device.name, item: operation))
                    }
                    // Its owner tries them when it is done.
                    if !isByHand {
                        core.missed = drivers.filter { $0 !== core.binding?.entry } + core.missed
                    }
                    return .refused(.busy(of: device.name, operation: operation))
                }
                guard core.phase == .unbound else {
                    return .refused(.busy(of: device.name, operation: operation))
                }
                if core.isDeferred { state.deferred.removeAll { $0 === device } }
                let supplier = core.suppliers.first {
                    $0.isManaged && $0.supplier.core.withValue { $0.phase != .bound }
                }?.supplier
                core.isDeferred = supplier != nil
                if let supplier {
                    state.deferred.append(device)
                    bus.core.withValue {
                        $0.post(.deferred("\(supplier) has no driver yet"), device, entry.driver)
                    }
                    return .deferred(supplier)
                }
                core.phase = .probing
                core.owner = Device.Owner(walk: identity, thread: thread)
                core.binding = binding
                binding.progress.store(state.progress)
                entry.users.withValue { $0[ObjectIdentifier(device)] = device }
                return .granted
            }
        }
    }

    private func entry(of driver: any Driver, for device: Device) throws(QuiesceError)
        -> DriverEntry
    {
        let (bus, entry) = DeviceGraph.look { _ in
            let bus = device.core.withValue { $0.bus }
            return (bus, bus?.entry(of: driver))
        }
        guard bus != nil else {
            throw .noDevice(of: device.name, operation: "binding to \(driver.name)")
        }
        guard let entry else { throw .closed("the driver \(driver.name)") }
        return entry
    }

    // MARK: Unbinding

    private enum Look {
        case unbound, inside, owned
        case consumer(Device)
        case release(Binding, Device.Stage)
    }

    /// Takes the next step of an unbinding. True when another walk owns the device.
    private mutating func unbind(_ device: Device, from entry: DriverEntry?) throws -> Bool {
        let thread = World.currentThread
        let (isClaimed, look): (Bool, Look) = DeviceGraph.change("unbind") { [identity] _ in
            device.core.withValue { core in
                if let owner = core.owner, owner.walk === identity {
                    return (false, Self.stepUnbinding(device, &core))
                }
                if let entry, core.binding?.entry !== entry { return (false, .unbound) }
                if let owner = core.owner {
                    // In a forked child, the owner stayed behind.
                    let isGone = owner.thread != 0 && World.hasStayedBehind(owner.thread)
                    guard isGone else {
                        return (false, owner.thread == thread ? .inside : .owned)
                    }
                    if core.phase == .probing { core.phase = .unbinding(.registrations) }
                }
                guard core.phase != .unbound else { return (false, .unbound) }
                core.owner = Device.Owner(walk: identity, thread: thread)
                if core.phase == .bound { core.phase = .unbinding(nil) }
                return (true, Self.stepUnbinding(device, &core))
            }
        }
        if isClaimed { owned.append(device) }
        switch look {
        case .unbound: break
        case .inside: throw QuiesceError.inside(of: device.name, item: "unbinding")
        case .owned: return true
        case .consumer(let consumer): goals += [.unbind(device, from: entry), .unbind(consumer)]
        case .release(let binding, let stage):
            goals.append(.release(binding, stage))
            DeviceGraph.wake()
        }
        return false
    }

    /// The next step of the unbinding of a device that the walk owns: a consumer that has to be
    /// unbound first, or the release.
    private static func stepUnbinding(_ device: Device, _ core: inout Device.Core) -> Look {
        guard let binding = core.binding else { fatalError("\(device) has no binding") }
        if case .unbinding(let stage?) = core.phase { return .release(binding, stage) }
        let consumer = core.consumers.first {
            $0.isManaged && $0.consumer.core.withValue { $0.phase != .unbound }
        }
        if let consumer { return .consumer(consumer.consumer) }
        core.phase = .unbinding(.registrations)
        core.bus?.core.withValue { $0.post(.unbinding, device, binding.entry.driver) }
        return .release(binding, .registrations)
    }

    /// Goes on after a wait.
    private mutating func advance(_ wait: Wait) {
        guard case .stage(let binding, let stage) = wait else { return }
        goals.removeLast()
        switch stage {
        case .registrations:
            callback { binding.remove() }
            goals.append(.release(binding, .gate))
        case .gate: goals.append(.release(binding, .resources))
        case .resources:
            owned.removeAll { $0 === binding.device }
            end(binding)
            DeviceGraph.wake()
        }
    }

    /// A binding is over.
    private mutating func end(_ binding: Binding) {
        let (device, entry) = (binding.device, binding.entry)
        let failure = binding.failure.load()
        let isReady = DeviceGraph.change("unbind") { state in
            _ = entry.users.withValue { $0.removeValue(forKey: ObjectIdentifier(device)) }
            device.core.withValue { core in
                core.phase = .unbound
                core.owner = nil
                core.binding = nil
                core.failure = failure
                if !core.isLeaving, !core.missed.isEmpty {
                    state.ready.append(.init(device: device, drivers: core.missed))
                }
                core.missed = []
                let kind: DeviceEvent.Kind
                switch failure {
                case nil: kind = .unbound
                case let deferral as ProbeDeferral:
                    kind = .deferred(deferral.reason)
                    if !core.isLeaving {
                        core.isDeferred = true
                        // What it lacked may have come while it was probed.
                        if state.progress == binding.progress.load() {
                            state.deferred.append(device)
                        } else {
                            core.isDeferred = false
                            state.ready.append(.init(device: device, drivers: nil))
                        }
                    }
                case let error?: kind = .probeFailed("\(error)")
                }
                core.bus?.core.withValue { $0.post(kind, device, entry.driver) }
            }
            for link in device.core.withValue({ $0.suppliers })
            where link.kind == .managed(endsWith: .consumer) { link.discard() }
            for link in device.core.withValue({ $0.consumers })
            where link.kind == .managed(endsWith: .supplier) { link.discard() }
            return !state.ready.isEmpty
        }
        if isReady { hasReady = true }
    }

    // MARK: Leaving

    private mutating func remove(_ device: Device, _ bus: Bus) {
        enum Look {
            case gone, removed, bound
            case child(Device, Bus)
        }
        let look: Look = DeviceGraph.change("remove") { state in
            let look: Look = device.core.withValue { core in
                guard core.bus === bus else { return .gone }
                core.isLeaving = true
                for child in core.children.values {
                    if let bus = child.core.withValue({ $0.bus }) { return .child(child, bus) }
                }
                guard core.phase == .unbound, core.owner == nil else { return .bound }
                if core.isDeferred { state.deferred.removeAll { $0 === device } }
                core.isDeferred = false
                core.bus = nil
                bus.core.withValue { core in
                    core.devices[device.name] = nil
                    core.post(.removed, device)
                }
                _ = device.parent?.core.withValue {
                    $0.children.removeValue(forKey: ObjectIdentifier(device))
                }
                return .removed
            }
            if case .removed = look {
                let links = device.core.withValue { $0.suppliers + $0.consumers }
                for link in links where link.isManaged { link.discard() }
            }
            return look
        }
        switch look {
        case .gone: break
        case .bound: goals += [.remove(device, bus), .unbind(device)]
        case .child(let child, let other): goals += [.remove(device, bus), .remove(child, other)]
        case .removed: DeviceGraph.wake()
        }
    }

    private mutating func retire(_ entry: DriverEntry, _ bus: Bus) {
        let user: Device? = DeviceGraph.change("unregister from") { _ in
            entry.isLeaving.store(true)
            if let user = entry.users.withValue({ $0.values.first }) { return user }
            bus.core.withValue { $0.entries.removeAll { $0 === entry } }
            return nil
        }
        if let user { goals += [.retire(entry, bus), .unbind(user, from: entry)] }
    }

    private mutating func close(_ bus: Bus, _ devices: ArraySlice<Device>?) {
        let left =
            devices
            ?? DeviceGraph.change("close") { _ in
                bus.core.withValue { $0.isClosed = true }
                return bus.devicesInOrder[...]
            }
        if let device = left.last {
            goals += [.close(bus, left.dropLast()), .remove(device, bus)]
            return
        }
        DeviceGraph.change("close") { _ in
            bus.core.withValue { core in
                core.entries = []
                for subscriber in core.subscribers.values { subscriber.end() }
                core.subscribers = [:]
            }
        }
        DeviceGraph.wake()
    }

    // MARK: Misuse

    /// Refuses a goal that would wait for the caller: it is inside an operation of a device that is
    /// to be unbound, or in a callback of its driver.
    private static func refuseInside(_ goal: Goal) throws(QuiesceError) {
        switch goal {
        case .unbind(let device, _):
            try refuseInside("unbinding", takesChildren: false) { [device] }
        case .retire(let entry, _):
            try refuseInside("unregistering \(entry.driver.name)", takesChildren: false) {
                entry.users.withValue { Array($0.values) }
            }
        case .remove(let device, _):
            try refuseInside("removing \(device)", takesChildren: true) { [device] }
        case .close(let bus, _):
            try refuseInside("closing \(bus)", takesChildren: true) {
                bus.core.withValue { Array($0.devices.values) }
            }
        case .attach, .register, .bind, .release, .retry: return
        }
    }

    private static func refuseInside(
        _ operation: String, takesChildren: Bool, _ devices: () -> [Device]
    ) throws(QuiesceError) {
        let found: [(name: String, owner: UInt32?, gate: Gate?)] = DeviceGraph.look { _ in
            var open = devices()
            var result: [(String, UInt32?, Gate?)] = []
            var known: Set<ObjectIdentifier> = []
            while let device = open.popLast() {
                guard known.insert(ObjectIdentifier(device)).inserted else { continue }
                device.core.withValue { core in
                    if core.binding != nil || core.owner != nil {
                        result.append((device.name, core.owner?.thread, core.binding?.gate))
                    }
                    for link in core.consumers where link.isManaged { open.append(link.consumer) }
                    if takesChildren { open += core.children.values }
                }
            }
            return result
        }
        for (name, owner, gate) in found
        where owner == World.currentThread || gate?.isAroundCaller == true {
            throw .inside(of: name, item: operation)
        }
    }
}

extension QuiesceError {
    /// A wait for a device, which the graph's queue does not know.
    fileprivate func naming(_ device: Device) -> QuiesceError {
        guard case .timedOut(_, let occupants, let pending) = self else { return self }
        return .timedOut(of: device.name, occupants: occupants, pending: pending)
    }
}

extension Device {
    /// Whether somebody changes its phase.
    fileprivate var isOwned: Bool {
        DeviceGraph.look { _ in
            core.withValue { core in
                guard let owner = core.owner else { return false }
                return owner.thread == 0 || !World.hasStayedBehind(owner.thread)
            }
        }
    }
}
