// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "Removal of core resources (clocks, regulators, GPIOs, ...) with active users": a regulator.
///
/// `regulator_unregister` warns when a consumer has the regulator, and goes on. The consumer's next
/// call reaches the operations of a driver that has freed what they use. A managed device link
/// between the two devices prevents that: the consumer's driver is unbound first.
enum RegulatorRemoved {
    private static func program(_ world: ExploredWorld, isLinked: Bool) {
        let regulator = RegulatorDevice.allocate()
        let camera = Camera(regulator, in: world)
        let provider = KernelDevice(
            "provider", in: world, unbindConsumers: isLinked ? [{ camera.unbind() }] : [])
        provider.probe {
            provider.manage(regulator.pointee.driver)
            world.note("regulator_register")
        }
        camera.probe()
        world.thread("consumer") { camera.start() }
        world.thread("hotplug") {
            provider.unbind {
                world.note("regulator_unregister")
                let isOpen = regulator.pointee.openCount.load(ordering: .relaxed) != 0
                if isOpen { world.note("WARN_ON(open_count)") }
                expect(!(isOpen && isLinked), "the consumer still has the regulator")
                regulator.put()
            }
        }
        if !isLinked { world.afterwards { camera.unbind() } }
    }

    static let broken = Story(
        "regulator-removed", text: DevmHarmful.text, .broken,
        "regulator removed under a consumer",
        expecting: .useAfterFree
    ) { program($0, isLinked: false) }

    static let asTheKernelDoes = Story(
        "regulator-removed-kernel", text: DevmHarmful.text, .repaired,
        "device link: consumer is unbound first"
    ) { program($0, isLinked: true) }

    /// The consumer's driver is unbound after the provider's, with the regulator switched on or
    /// not. Switching it off finds no device, and nothing else.
    static let repaired = Story(
        "regulator-removed-repaired", text: DevmHarmful.text, .repaired,
        "Revocable: consumer outlives regulator"
    ) { world in
        let (provider, camera) = (BindingScope(name: "provider"), BindingScope(name: "camera"))
        let regulator = try provider.acquire("regulator") {
            Owned(ProviderState.allocate("reg_data"))
        }
        world.thread("consumer") {
            // regulator_enable
            let done: Void? = regulator.withValue { $0.memory.pointee.readRegister() }
            guard done != nil else { return world.note("enable: \(KernelError.noDevice)") }
            sure {
                try camera.add("disable") {
                    _ = regulator.withValue { $0.memory.pointee.readRegister() }
                }
            }
        }
        world.thread("hotplug") { provider.unbind() }
        world.afterwards {
            expect(regulator.withValue { _ in } == nil, "the provider is still bound")
            camera.unbind()
        }
    }
}

/// `struct regulator_dev`
private struct RegulatorDevice: ~Copyable, Sendable {
    /// The provider holds one reference, each consumer another.
    let kref = Atomic(1)
    let openCount = Atomic(0)
    /// `reg_data`: the driver's own.
    let driver = ProviderState.allocate("reg_data")

    private init() {}

    static func allocate() -> Storage<RegulatorDevice> {
        let regulator = Storage.allocate(RegulatorDevice(), name: "rdev")
        regulator.pointee.kref.label("kref")
        regulator.pointee.openCount.label("open_count")
        return regulator
    }
}

extension Storage<RegulatorDevice> {
    /// `put_device`
    fileprivate func put() {
        if pointee.kref.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
            unsafe free()
        }
    }
}

/// A consumer: a device whose driver gets the regulator in `probe` and puts it in `remove`.
private final class Camera: Sendable {
    private let world: ExploredWorld
    private let device: KernelDevice
    private let regulator: Storage<RegulatorDevice>
    /// The uses of the camera that are under way.
    private let active = ActiveCount()

    init(_ regulator: Storage<RegulatorDevice>, in world: ExploredWorld) {
        self.world = world
        self.regulator = regulator
        device = KernelDevice("camera", in: world)
        active.label("camera.active")
    }

    func probe() {
        device.probe {
            world.note("regulator_get")
            regulator.pointee.kref.wrappingAdd(1, ordering: .relaxed)
            regulator.pointee.openCount.wrappingAdd(1, ordering: .relaxed)
        }
    }

    func unbind() {
        device.unbind {
            active.kill()
            active.wait()
            world.note("regulator_put")
            regulator.pointee.openCount.wrappingSubtract(1, ordering: .relaxed)
            regulator.put()
        }
    }

    /// An operation of the camera's driver, which switches the regulator on.
    func start() {
        guard active.tryGetLive() else { return }
        world.note("regulator_enable")
        regulator.pointee.driver.pointee.readRegister()
        active.put()
    }
}
