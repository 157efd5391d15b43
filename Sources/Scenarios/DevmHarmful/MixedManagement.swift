// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "Ordering of the devres release, especially when mixing managed and non-managed resources."
///
/// The interrupt is managed, the structure that its handler uses is not: `remove` frees it, and the
/// interrupt is freed when `remove` has returned.
enum MixedManagement {
    private static func program(_ world: ExploredWorld, isStateManaged: Bool) {
        let device = KernelDevice(in: world)
        let (state, interrupt) = device.probe {
            let state = DriverState.allocate()
            if isStateManaged { device.manage(state) }
            let interrupt = InterruptLine { state.use() }
            interrupt.request()
            device.manage("irq") { interrupt.free() }
            return (state, interrupt)
        }
        world.thread("interrupt") { interrupt.assert() }
        world.thread("hotplug") {
            device.unbind { if !isStateManaged { unsafe state.free() } }
        }
    }

    static let broken = Story(
        "managed-mixed-unmanaged", text: DevmHarmful.text, .broken,
        "devm_request_irq with kzalloc and kfree",
        expecting: .useAfterFree
    ) { program($0, isStateManaged: false) }

    static let asTheKernelDoes = Story(
        "managed-mixed-unmanaged-kernel", text: DevmHarmful.text, .repaired,
        "devm_request_irq after devm_kzalloc"
    ) { program($0, isStateManaged: true) }

    /// What `remove` frees by hand has its place in the order: what must go before it does.
    static let repaired = Story(
        "managed-mixed-unmanaged-repaired", text: DevmHarmful.text, .repaired,
        "BindingScope: kfree by hand, in order"
    ) { world in
        let binding = BindingScope(name: "binding")
        let state = DriverState.allocate()
        let line = InterruptLine { state.use() }
        line.request()
        let interrupt = try binding.add("interrupt") { line.free() }
        let free = try binding.add("state") { unsafe state.free() }
        try binding.release(interrupt, before: free)
        world.thread("interrupt") { line.assert() }
        world.thread("hotplug") {
            binding.unbind {
                let isFreed = try binding.release(free)
                expect(isFreed, "the state was freed before")
            }
        }
    }
}
