// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "Acquiring resources that must not be touched after unbind can use devm_* safely. […] For
/// instance, devm_ioremap_resource() is fine."
///
/// The mapping is acquired first, and so released last. `remove` ends the users of the node, and
/// the interrupt is freed before the registers are unmapped.
enum ManagedMapping {
    static let asTheKernelDoes = Story(
        "managed-mapping-kernel", text: DevmHarmful.text, .repaired,
        "devm_ioremap: not touched after unbind"
    ) { world in
        let device = KernelDevice(in: world)
        let map = CharacterDeviceMap(in: world)
        let (interrupt, node) = device.probe {
            let registers = Registers.map()
            device.manage(registers)
            let interrupt = InterruptLine { registers.pointee.readStatus() }
            interrupt.request()
            device.manage("irq") { interrupt.free() }
            let node = DeviceNode.allocate(
                mode: .queued,
                operations: FileOperations(ioctl: { registers.pointee.readStatus() }))
            map.add(node)
            return (interrupt, node)
        }
        world.thread("user space") {
            guard let file = try? map.open() else { return }
            try? file.ioctl()
            file.close()
        }
        world.thread("interrupt") { interrupt.assert() }
        world.thread("hotplug") { device.unbind { map.delete(node) } }
    }

    /// The device's gate is asked once, and the entry reaches both values behind it.
    static let repaired = Story(
        "managed-mapping-repaired", text: DevmHarmful.text, .repaired,
        "Revocable: two values behind one gate"
    ) { world in
        let binding = BindingScope(name: "binding")
        let gate = Gate(name: "device")
        let registers = try binding.acquire("registers", behind: gate) { Owned(Registers.map()) }
        let buffer = try binding.acquire("buffer", behind: gate) {
            Owned(DriverState.allocate("buffer"))
        }
        @Sendable func fill() {
            _ = gate.withEntry { entry in
                registers.withValue(in: entry) { $0.memory.pointee.readStatus() }
                buffer.withValue(in: entry) { $0.memory.use() }
            }
        }
        let line = InterruptLine { fill() }
        line.request()
        try binding.add("interrupt") { line.free() }
        world.thread("user space") { fill() }
        world.thread("interrupt") { line.assert() }
        world.thread("hotplug") { binding.unbind() }
        world.afterwards { expect(gate.isClosed) }
    }
}
