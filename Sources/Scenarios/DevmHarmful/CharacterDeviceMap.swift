// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

/// `cdev_map`: the registered nodes, where `open` finds them.
final class CharacterDeviceMap: Sendable {
    /// When `open` takes the file's reference to the node.
    enum Lookup {
        /// While it holds the map's lock.
        case getsUnderLock
        /// After it has released the map's lock.
        case getsAfterwards
    }

    private let world: ExploredWorld
    private let lookup: Lookup
    /// `chrdevs_lock`
    private let lock = Mutex(())
    private let nodes = Unsynchronized<[Storage<DeviceNode>]>([])

    init(in world: ExploredWorld, lookup: Lookup = .getsUnderLock) {
        self.world = world
        self.lookup = lookup
        lock.label("map.lock")
        nodes.label("map.nodes")
    }

    /// `cdev_add`
    func add(_ node: Storage<DeviceNode>) {
        world.note("cdev_add \(node)")
        lock.lock()
        nodes.withValue { $0.append(node) }
        lock.unlock()
    }

    /// `cdev_del` with the driver's put: `open` does not find the node any more, and operations
    /// fail.
    ///
    /// - Parameter wakeReaders: what the driver does to end operations that sleep.
    func delete(_ node: Storage<DeviceNode>, wakeReaders: () -> Void = {}) {
        world.note("cdev_del \(node)")
        lock.lock()
        nodes.withValue { $0.removeAll { $0 == node } }
        lock.unlock()
        node.unregister(wakeReaders: wakeReaders)
        node.put()
    }

    /// `chrdev_open`
    func open(minor: Int = 0) throws(KernelError) -> KernelFile {
        guard let node = find(minor) else {
            world.note("open: ENXIO")
            throw .noSuchDevice
        }
        world.note("open \(node)")
        return KernelFile(of: node, in: world)
    }

    /// `kobj_lookup`: the node with a reference.
    private func find(_ minor: Int) -> Storage<DeviceNode>? {
        lock.lock()
        var node = nodes.load().first { $0.pointee.minor == minor }
        if lookup == .getsUnderLock { node = node.flatMap(get) }
        lock.unlock()
        if lookup == .getsAfterwards { node = node.flatMap(get) }
        return node
    }

    private func get(_ node: Storage<DeviceNode>) -> Storage<DeviceNode>? {
        node.getUnlessZero() ? node : nil
    }
}
