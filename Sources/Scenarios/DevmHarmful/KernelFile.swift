// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

typealias FileOperation = @Sendable () throws(KernelError) -> Void

/// `struct file_operations`: what a driver does for the open files of a node.
struct FileOperations: Sendable {
    var ioctl: FileOperation = {}
    var read: FileOperation = {}
    /// Called when a file is closed, whether its node is registered or not.
    var release: @Sendable () -> Void = {}
}

/// `struct file`: an open file, with a reference to its node.
final class KernelFile: Sendable {
    private let world: ExploredWorld
    private let node: Storage<DeviceNode>

    /// - Parameter node: the node, with a reference that becomes the file's.
    init(of node: Storage<DeviceNode>, in world: ExploredWorld) {
        self.node = node
        self.world = world
    }

    func ioctl() throws(KernelError) { try call("ioctl", node.pointee.operations.ioctl) }

    func read() throws(KernelError) { try call("read", node.pointee.operations.read) }

    /// `__fput`: the driver's `release`, then `cdev_put`.
    func close() {
        world.note("close")
        node.pointee.operations.release()
        node.put()
    }

    private func call(_ name: String, _ operation: FileOperation) throws(KernelError) {
        world.note(name)
        do throws(KernelError) {
            try node.call(operation)
        } catch {
            world.note("\(name): \(error)")
            throw error
        }
    }
}
