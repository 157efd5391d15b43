// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "Lifetime tied to one given resource, doesn't work for drivers that create multiple resources":
/// memory managed as by `drmm_kzalloc` is freed on the final put of one object.
///
/// The driver's structure is managed by the node `video0`. With that node alone this is right. A
/// driver with a second node has files that hold a reference to `video1` only.
enum OneObjectLifetime {
    private static func program(_ world: ExploredWorld, nodes count: Int) {
        let device = KernelDevice(in: world)
        let map = CharacterDeviceMap(in: world)
        let nodes = device.probe {
            let state = DriverState.allocate()
            let operations = FileOperations(release: { state.use() })
            let first = DeviceNode.allocate(
                operations: operations,
                release: { node in
                    // drm_managed_release
                    unsafe state.free()
                    unsafe node.free()
                })
            let others = (1..<count).map { DeviceNode.allocate(minor: $0, operations: operations) }
            let nodes = [first] + others
            for node in nodes { map.add(node) }
            return nodes
        }
        world.thread("user space") {
            guard let file = try? map.open(minor: count - 1) else { return }
            file.close()
        }
        world.thread("hotplug") {
            device.unbind { for node in nodes.reversed() { map.delete(node) } }
        }
    }

    static let broken = Story(
        "one-object-lifetime", text: DevmHarmful.text, .broken,
        "drmm_kzalloc: driver with two nodes",
        expecting: .useAfterFree
    ) { program($0, nodes: 2) }

    static let asTheKernelDoes = Story(
        "one-object-lifetime-kernel", text: DevmHarmful.text, .repaired,
        "drmm_kzalloc: driver with one node"
    ) { program($0, nodes: 1) }

    /// What a node has. It keeps the object that this memory belongs to.
    private struct VideoNode: ~Copyable, Sendable {
        let state: Storage<DriverState>
    }

    /// Each node keeps the state, which so ends with the last of the two, whichever that is.
    static let repaired = Story(
        "one-object-lifetime-repaired", text: DevmHarmful.text, .repaired,
        "ManagedObject: two nodes keep the state"
    ) { world in
        let binding = BindingScope(name: "binding")
        let memory = DriverState.allocate()
        let state = Reference(ManagedObject(memory, name: "state") { unsafe $0.free() })
        for name in ["video0", "video1"] {
            let node = NodeTable<ManagedObject<VideoNode>>(name: name)
            let object = Reference(
                ManagedObject(VideoNode(state: memory), name: name) { _ in
                    world.note("release \(name)")
                })
            try object.keep(state)
            try binding.register(name) {
                node.add(object.share())
            } unregister: {
                node.remove()
            }
            world.thread("user of \(name)") {
                guard let file = node.open() else { return }
                world.note("close \(name)")
                file.withObject { $0.withValue { $0.state.use() } }
                file.drop()
            }
        }
        world.thread("hotplug") { binding.unbind() }
    }
}
