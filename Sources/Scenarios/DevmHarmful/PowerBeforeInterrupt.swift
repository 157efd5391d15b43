// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "There's a risk of, for instance, shutting down the PM domain before IRQs are freed."
///
/// The driver's interrupt is managed. The bus detaches the device from its power domain when
/// `remove` has returned, and the managed resources are released after that: the handler can still
/// run, and reads a register of a device without power.
enum PowerBeforeInterrupt {
    /// A power domain with one device.
    private final class PowerDomain: Sendable {
        private let power = Atomic(1)

        init() { power.label("domain.power") }

        /// `dev_pm_domain_detach`
        func detach() { power.exchange(0, ordering: .releasing) }

        func readRegister() {
            expect(power.load(ordering: .acquiring) == 1, "register read without power")
        }
    }

    private static func program(
        _ world: ExploredWorld,
        unbind: @escaping @Sendable (KernelDevice, PowerDomain) -> Void
    ) {
        let device = KernelDevice(in: world)
        let domain = PowerDomain()
        let interrupt = InterruptLine { domain.readRegister() }
        device.probe {
            interrupt.request()
            device.manage("irq") { interrupt.free() }
        }
        world.thread("interrupt") { interrupt.assert() }
        world.thread("hotplug") { unbind(device, domain) }
    }

    /// `platform_remove` called the driver's `remove`, and then detached the domain.
    static let broken = Story(
        "power-before-interrupt", text: DevmHarmful.text, .broken,
        "power off before the interrupt is freed",
        expecting: .expectation
    ) { world in
        program(world) { device, domain in device.unbind { domain.detach() } }
    }

    /// `device_unbind_cleanup` releases the managed resources, and then detaches the domain.
    static let asTheKernelDoes = Story(
        "power-before-interrupt-kernel", text: DevmHarmful.text, .repaired,
        "interrupt freed before the power is off"
    ) { world in
        program(world) { device, domain in
            device.unbind()
            domain.detach()
        }
    }

    /// The order is declared, and holds although the two were added in the wrong one.
    static let repaired = Story(
        "power-before-interrupt-repaired", text: DevmHarmful.text, .repaired,
        "BindingScope: interrupt before power"
    ) { world in
        let binding = BindingScope(name: "binding")
        let domain = PowerDomain()
        let line = InterruptLine { domain.readRegister() }
        line.request()
        let interrupt = try binding.add("interrupt") { line.free() }
        let power = try binding.add("power") { domain.detach() }
        try binding.release(interrupt, before: power)
        world.thread("interrupt") { line.assert() }
        world.thread("hotplug") { binding.unbind() }
    }
}
