// SPDX-License-Identifier: Apache-2.0

import Explorer
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
}
