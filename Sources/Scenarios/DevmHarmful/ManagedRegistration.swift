// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
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

    private final class Camera: ReferenceCounted {
        let referenceCount = ReferenceCount()
        let gate = Gate(name: "camera")

        func release() {}
    }

    /// What is registered with the scope is unregistered before `remove` runs, and cannot be
    /// otherwise.
    static let repaired = Story(
        "managed-registration-repaired", text: DevmHarmful.text, .repaired,
        "BindingScope: unregisters before remove"
    ) { world in
        let binding = BindingScope(name: "binding")
        let node = NodeTable<Camera>(name: "video0")
        let camera = Camera()
        let buffer = DriverState.allocate("buffer")
        try binding.register("video0") {
            node.add(Reference(camera))
        } unregister: {
            try camera.gate.close()
            node.remove()
        }
        world.thread("user space") {
            guard let file = node.open() else { return }
            // ioctl
            file.withObject { camera in _ = camera.gate.withEntry { _ in buffer.use() } }
            file.drop()
        }
        world.thread("hotplug") { binding.unbind { unsafe buffer.free() } }
    }
}
