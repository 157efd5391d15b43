// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "If a resource is freed at remove time, a use-after-free may occur as consumers may hold
/// references": counting them is not enough when `open` takes its reference too late.
///
/// `open` finds the node and takes a reference to it. Between the two the driver is unbound and
/// drops what was the last reference.
enum OpenAgainstUnregister {
    private static func program(_ world: ExploredWorld, _ lookup: CharacterDeviceMap.Lookup) {
        let device = KernelDevice(in: world)
        let map = CharacterDeviceMap(in: world, lookup: lookup)
        let node = device.probe {
            let node = DeviceNode.allocate()
            map.add(node)
            return node
        }
        world.thread("user space") {
            guard let file = try? map.open() else { return }
            try? file.ioctl()
            file.close()
        }
        world.thread("hotplug") { device.unbind { map.delete(node) } }
    }

    static let broken = Story(
        "open-against-unregister", text: DevmHarmful.text, .broken,
        "open finds the node, then takes its kref",
        expecting: .useAfterFree
    ) { program($0, .getsAfterwards) }

    static let asTheKernelDoes = Story(
        "open-against-unregister-kernel", text: DevmHarmful.text, .repaired,
        "open takes its kref under the lock"
    ) { program($0, .getsUnderLock) }

    private final class Camera: ReferenceCounted {
        let referenceCount = ReferenceCount()
        let state = DriverState.allocate()

        func release() { unsafe state.free() }
    }

    /// `open` is as late as in the broken form. But what it found keeps the object's memory, so
    /// that `tryReference` can tell that the last reference is gone.
    static let repaired = Story(
        "open-against-unregister-repaired", text: DevmHarmful.text, .repaired,
        "tryReference: nil after the last drop"
    ) { world in
        let binding = BindingScope(name: "binding")
        let table = CameraTable(Camera())
        try binding.register("video0") {
        } unregister: {
            table.remove()
        }
        world.thread("user space") {
            guard let file = table.find()?.tryReference() else { return }
            file.withObject { $0.state.use() }
            file.drop()
        }
        world.thread("hotplug") { binding.unbind() }
    }

    /// Finds the object for `open`, without a reference.
    private final class CameraTable: Sendable {
        private let camera: Mutex<Camera?>
        /// The driver's.
        private let reference: TakeOnce<Reference<Camera>>

        init(_ camera: Camera) {
            reference = TakeOnce(Reference(camera))
            self.camera = Mutex(camera)
            self.camera.label("table")
        }

        func find() -> Camera? { camera.withLock { $0 } }

        func remove() {
            camera.withLock { $0 = nil }
            reference.take()?.drop()
        }
    }
}
