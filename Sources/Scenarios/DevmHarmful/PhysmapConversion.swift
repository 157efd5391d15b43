// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "physmap_flash_remove releases only last memory region. This causes memory leak if multiple
/// resources were provided": the first conversion to `devm_kzalloc`, in Linux 2.6.28.
///
/// `probe` requests the regions in a loop and stores each in the same member.
enum PhysmapConversion {
    /// The `struct resource` that `request_mem_region` returns.
    private struct Region: ~Copyable, Sendable {}

    private static func requestRegion(_ number: Int) -> Storage<Region> {
        Storage.allocate(Region(), name: "region \(number)")
    }

    static let broken = Story(
        "physmap-remove", text: DevmHarmful.text, .broken,
        "physmap: only the last region released",
        expecting: .leak
    ) { world in
        let device = KernelDevice("physmap", in: world)
        world.thread("hotplug") {
            let last = device.probe {
                // info->res
                var region: Storage<Region>?
                for number in 0..<2 { region = requestRegion(number) }
                return region
            }
            device.unbind { if let last { unsafe last.free() } }
        }
    }

    static let asTheKernelDoes = Story(
        "physmap-remove-kernel", text: DevmHarmful.text, .repaired,
        "physmap: devm_request_mem_region"
    ) { world in
        let device = KernelDevice("physmap", in: world)
        world.thread("hotplug") {
            device.probe { for number in 0..<2 { device.manage(requestRegion(number)) } }
            device.unbind()
        }
    }

    /// The scope keeps each region, and gives each back.
    static let repaired = Story(
        "physmap-remove-repaired", text: DevmHarmful.text, .repaired,
        "BindingScope: all regions are released"
    ) { world in
        let binding = BindingScope(name: "physmap")
        let regions = try (0..<2).map { number in
            try binding.acquire("region \(number)") { Owned(requestRegion(number)) }
        }
        world.thread("hotplug") { binding.unbind() }
        world.thread("user space") { for region in regions { _ = region.withValue { _ in } } }
        world.afterwards { expect(binding.isEmpty) }
    }
}
