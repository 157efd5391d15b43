// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "Unbind/ongoing system call race": an ioctl has found the node registered and is under way when
/// the driver is unbound.
///
/// No count of references helps here: what the ioctl uses are registers, which must not be touched
/// after unbind. Unbind has to wait for the ioctl.
enum IoctlUnderUnbind {
    private static func probe(
        _ device: KernelDevice, _ map: CharacterDeviceMap, _ mode: DeviceNode.Mode
    ) -> Storage<DeviceNode> {
        device.probe {
            let registers = Registers.map()
            device.manage(registers)
            let node = DeviceNode.allocate(
                mode: mode,
                operations: FileOperations(ioctl: { registers.pointee.readStatus() }))
            map.add(node)
            return node
        }
    }

    static let broken = Story(
        "ioctl-under-unbind", text: DevmHarmful.text, .broken,
        "ioctl under way while unbind runs",
        expecting: .useAfterFree
    ) { world in
        let device = KernelDevice(in: world)
        let map = CharacterDeviceMap(in: world)
        let node = probe(device, map, .checked)
        world.thread("user space") {
            guard let file = try? map.open() else { return }
            try? file.ioctl()
            file.close()
        }
        world.thread("hotplug") { device.unbind { map.delete(node) } }
    }

    static let asTheKernelDoes = Story(
        "ioctl-under-unbind-kernel", text: DevmHarmful.text, .repaired,
        "queued mode: unbind waits for the ioctl"
    ) { world in
        let device = KernelDevice(in: world)
        let map = CharacterDeviceMap(in: world)
        let node = probe(device, map, .queued)
        guard let file = try? map.open() else { return }
        world.thread("user space") { try? file.ioctl() }
        world.thread("hotplug") { device.unbind { map.delete(node) } }
        world.afterwards {
            expect(KernelError.of { () throws(KernelError) in try file.ioctl() } == .noDevice)
            file.close()
        }
    }

    /// What the ioctl has of the registers is a way to ask for them.
    static let repaired = Story(
        "ioctl-under-unbind-repaired", text: DevmHarmful.text, .repaired,
        "Revocable: unbind waits for the ioctl"
    ) { world in
        let binding = BindingScope(name: "binding")
        let registers = try binding.acquire("registers") { Owned(Registers.map()) }
        world.thread("user space") {
            let done: Void? = registers.withValue { $0.memory.pointee.readStatus() }
            if done == nil { world.note("ioctl: \(KernelError.noDevice)") }
        }
        world.thread("hotplug") { binding.unbind() }
        world.afterwards {
            let done: Void? = registers.withValue { $0.memory.pointee.readStatus() }
            expect(done == nil, "an ioctl reached the registers after unbind")
        }
    }
}
