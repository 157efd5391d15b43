// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "Having a static video_device is a dubious construction at best": its release function is
/// `video_device_release_empty`, which does nothing.
///
/// Nothing is freed, so nothing is used after it was freed. But the next `probe` initialises the
/// structure anew, with a count of one, while a file of the binding before holds a reference.
enum EmptyRelease {
    private static func openAndClose(_ map: CharacterDeviceMap, _ world: ExploredWorld) {
        world.thread("user space") {
            guard let file = try? map.open() else { return }
            file.close()
        }
    }

    static let broken = Story(
        "empty-release", text: DevmHarmful.text, .broken,
        "static device, bound again",
        expecting: .expectation
    ) { world in
        let device = KernelDevice(in: world)
        let map = CharacterDeviceMap(in: world)
        // static struct video_device
        let node = DeviceNode.allocate(release: { _ in })
        device.probe { map.add(node) }
        openAndClose(map, world)
        world.thread("hotplug") {
            device.unbind { map.delete(node) }
            device.probe {
                node.initialize()
                map.add(node)
            }
            device.unbind { map.delete(node) }
        }
        // The memory is the module's.
        world.afterwards { unsafe node.free() }
    }

    static let asTheKernelDoes = Story(
        "empty-release-kernel", text: DevmHarmful.text, .repaired,
        "each probe allocates a device"
    ) { world in
        let device = KernelDevice(in: world)
        let map = CharacterDeviceMap(in: world)
        @Sendable func probe() -> Storage<DeviceNode> {
            device.probe {
                let node = DeviceNode.allocate()
                map.add(node)
                return node
            }
        }
        let node = probe()
        openAndClose(map, world)
        world.thread("hotplug") {
            device.unbind { map.delete(node) }
            let next = probe()
            device.unbind { map.delete(next) }
        }
    }

    /// A first `Reference` belongs to a new object, so that each probe makes one. What the old one
    /// holds ends with its own last reference.
    private final class Camera: ReferenceCounted {
        let referenceCount = ReferenceCount()
        let state = DriverState.allocate()

        func release() { unsafe state.free() }
    }

    static let repaired = Story(
        "empty-release-repaired", text: DevmHarmful.text, .repaired,
        "ReferenceCounted: a probe, an object"
    ) { world in
        let node = NodeTable<Camera>(name: "video0")
        @Sendable func probe() throws -> BindingScope {
            let binding = BindingScope(name: "binding")
            try binding.register("video0") {
                node.add(Reference(Camera()))
            } unregister: {
                node.remove()
            }
            return binding
        }
        let binding = try probe()
        world.thread("user space") {
            guard let file = node.open() else { return }
            file.withObject { $0.state.use() }
            file.drop()
        }
        world.thread("hotplug") {
            binding.unbind()
            sure { try probe().unbind() }
        }
    }
}

extension Storage<DeviceNode> {
    /// `device_initialize` and `video_register_device` for a structure that has been in use.
    fileprivate func initialize() {
        pointee.kref.store(1, ordering: .relaxed)
        pointee.flags.store(1, ordering: .relaxed)
    }
}
