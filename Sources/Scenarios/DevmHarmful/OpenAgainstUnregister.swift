// SPDX-License-Identifier: Apache-2.0

import Explorer
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
}
