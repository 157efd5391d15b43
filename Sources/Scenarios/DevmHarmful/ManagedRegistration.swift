// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// "Handling resource registration with devm_* leads to unregistration after the .remove() handler
/// returns, while in many cases drivers should unregister the resource to avoid new users before
/// handling other cleanups."
///
/// The driver's `remove` frees a buffer while the node is still registered: a new user opens it.
enum ManagedRegistration {
    private static func program(_ world: ExploredWorld, isRegistrationManaged: Bool) {
        let device = KernelDevice(in: world)
        let map = CharacterDeviceMap(in: world)
        let (buffer, node) = device.probe {
            let buffer = DriverState.allocate("buffer")
            let node = DeviceNode.allocate(
                mode: .queued, operations: FileOperations(ioctl: { buffer.use() }))
            map.add(node)
            if isRegistrationManaged { device.manage("\(node)") { map.delete(node) } }
            return (buffer, node)
        }
        world.thread("user space") {
            guard let file = try? map.open() else { return }
            try? file.ioctl()
            file.close()
        }
        world.thread("hotplug") {
            device.unbind {
                if !isRegistrationManaged { map.delete(node) }
                unsafe buffer.free()
            }
        }
    }

    static let broken = Story(
        "managed-registration", text: DevmHarmful.text, .broken,
        "unregistered after remove returned",
        expecting: .useAfterFree
    ) { program($0, isRegistrationManaged: true) }

    static let asTheKernelDoes = Story(
        "managed-registration-kernel", text: DevmHarmful.text, .repaired,
        "remove unregisters first"
    ) { program($0, isRegistrationManaged: false) }
}
