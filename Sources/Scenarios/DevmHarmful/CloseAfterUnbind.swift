// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "Crashes can easily be triggered by userspace, and occur in the `file_operation.release()`
/// handler in response to `close()`."
///
/// The driver's structure is managed, so unbinding frees it. A file that was opened before still
/// leads to the driver, and closing the file calls it.
enum CloseAfterUnbind {
    private static func openAndClose(_ map: CharacterDeviceMap, _ world: ExploredWorld) {
        world.thread("user space") {
            guard let file = try? map.open() else { return }
            file.close()
        }
    }

    static let broken = Story(
        "close-after-unbind", text: DevmHarmful.text, .broken,
        "devm_kzalloc: close after unbind",
        expecting: .useAfterFree
    ) { world in
        let device = KernelDevice(in: world)
        let map = CharacterDeviceMap(in: world)
        let node = device.probe {
            let state = DriverState.allocate()
            device.manage(state)
            let node = DeviceNode.allocate(operations: FileOperations(release: { state.use() }))
            map.add(node)
            return node
        }
        openAndClose(map, world)
        world.thread("hotplug") { device.unbind { map.delete(node) } }
    }

    /// "Manual reference counting?": the driver holds one reference to its structure, and the node
    /// another, which the node's own release function drops.
    static let asTheKernelDoes = Story(
        "close-after-unbind-kernel", text: DevmHarmful.text, .repaired,
        "kref: last close frees the structure"
    ) { world in
        let device = KernelDevice(in: world)
        let map = CharacterDeviceMap(in: world)
        let (state, node) = device.probe {
            let state = DriverState.allocate()
            state.get()
            let node = DeviceNode.allocate(
                operations: FileOperations(release: { state.use() }),
                release: { node in
                    // uvc_release
                    unsafe node.free()
                    state.put()
                })
            map.add(node)
            return (state, node)
        }
        openAndClose(map, world)
        world.thread("hotplug") {
            device.unbind {
                map.delete(node)
                state.put()
            }
        }
    }

    /// The driver's object, with a scope of its own for what must live as long as the object.
    private final class Camera: ReferenceCounted {
        let referenceCount = ReferenceCount()
        let state: Storage<DriverState>
        private let scope = ObjectScope(name: "camera")

        init() throws {
            state = try scope.allocate("state") {
                DriverState.allocate()
            } release: {
                unsafe $0.free()
            }
        }

        func release() { sure { try scope.close() } }
    }

    /// Unbind ends the binding's scope, where the state is not. The last reference ends the
    /// object's, and may be the file's.
    static let repaired = Story(
        "close-after-unbind-repaired", text: DevmHarmful.text, .repaired,
        "ObjectScope: last close frees the state"
    ) { world in
        let binding = BindingScope(name: "binding")
        let node = NodeTable<Camera>(name: "video0")
        let camera = try Camera()
        try binding.register("video0") {
            node.add(Reference(camera))
        } unregister: {
            node.remove()
        }
        world.thread("user space") {
            guard let file = node.open() else { return }
            world.note("close")
            file.withObject { $0.state.use() }
            file.drop()
        }
        world.thread("hotplug") { binding.unbind() }
    }
}
