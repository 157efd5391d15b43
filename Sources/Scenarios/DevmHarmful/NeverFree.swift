// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// "An obvious solution to the use-after-free problem is to remove the 'free'. […] It would
/// effectively leak memory on module removal (not great), device unbind (bad) or device unplug
/// (abysmal)."
///
/// A late close finds the driver's structure. So it would for ever: the structure is lost with each
/// unplug.
enum NeverFree {
    static let broken = Story(
        "never-free", text: DevmHarmful.text, .broken,
        "no free: leak on unplug",
        expecting: .leak
    ) { world in
        let device = KernelDevice(in: world)
        let map = CharacterDeviceMap(in: world)
        let node = device.probe {
            let state = DriverState.allocate()
            let node = DeviceNode.allocate(operations: FileOperations(release: { state.use() }))
            map.add(node)
            return node
        }
        world.thread("user space") {
            guard let file = try? map.open() else { return }
            file.close()
        }
        world.thread("hotplug") { device.unbind { map.delete(node) } }
    }
}
