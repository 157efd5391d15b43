// SPDX-License-Identifier: Apache-2.0

import Explorer
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
}
