// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "Removal of core resources (clocks, regulators, GPIOs, ...) with active users": a GPIO chip.
///
/// A consumer's call first checks that the chip is there, and then calls it. Before Linux 6.9
/// nothing kept the chip's driver from going away between the two.
enum GPIORemoved {
    private static func program(_ world: ExploredWorld, _ protection: GPIODevice.Protection) {
        let provider = KernelDevice("provider", in: world)
        let device = provider.probe {
            let chip = ProviderState.allocate("chip")
            provider.manage(chip)
            world.note("gpiochip_add")
            return GPIODevice.allocate(chip, protection)
        }
        // gpiod_get
        device.pointee.kref.wrappingAdd(1, ordering: .relaxed)
        world.thread("consumer") {
            do throws(KernelError) {
                world.note("gpiod_get_value")
                try device.pointee.getValue()
            } catch {
                world.note("gpiod_get_value: \(error)")
            }
            device.put()
        }
        world.thread("hotplug") {
            provider.unbind {
                world.note("gpiochip_remove")
                device.pointee.removeChip()
                let error = KernelError.of { () throws(KernelError) in
                    try device.pointee.getValue()
                }
                expect(error == .noDevice)
                device.put()
            }
        }
    }

    static let broken = Story(
        "gpio-removed", text: DevmHarmful.text, .broken,
        "GPIO chip removed under a consumer",
        expecting: .useAfterFree
    ) { program($0, .check) }

    static let asTheKernelDoes = Story(
        "gpio-removed-kernel", text: DevmHarmful.text, .repaired,
        "GPIO chip removed after its calls"
    ) { program($0, .readSection) }

    /// The consumer's call checks that the chip is there, and the chip stays until it returns.
    static let repaired = Story(
        "gpio-removed-repaired", text: DevmHarmful.text, .repaired,
        "Revocable: removed GPIO chip answers nil"
    ) { world in
        let provider = BindingScope(name: "provider")
        let chip = try provider.acquire("chip") { Owned(ProviderState.allocate("chip")) }
        @Sendable func getValue() -> KernelError? {
            let done: Void? = chip.withValue { $0.memory.pointee.readRegister() }
            return done == nil ? .noDevice : nil
        }
        world.thread("consumer") {
            if let error = getValue() { world.note("get value: \(error)") }
        }
        world.thread("hotplug") {
            // The provider takes the chip away by hand, and goes on.
            provider.unbind {
                try provider.release(chip)
                expect(getValue() == .noDevice)
            }
        }
    }
}

/// `struct gpio_device`: what consumers keep of a chip.
private struct GPIODevice: ~Copyable, Sendable {
    /// What keeps the chip while a consumer calls it.
    enum Protection {
        /// Nothing: the call checks that the chip is there.
        case check
        /// The call is a read section of `srcu`, and the removal waits for those.
        case readSection
    }

    /// The provider holds one reference, the consumer another.
    let kref = Atomic(1)
    /// Whether the pointer `chip` is set.
    private let hasChip = Atomic(1)
    private let readers = SleepableReaders()
    private let protection: Protection
    private let chip: Storage<ProviderState>

    private init(_ chip: Storage<ProviderState>, _ protection: Protection) {
        self.chip = chip
        self.protection = protection
    }

    static func allocate(_ chip: Storage<ProviderState>, _ protection: Protection)
        -> Storage<GPIODevice>
    {
        let device = Storage.allocate(GPIODevice(chip, protection), name: "gdev")
        device.pointee.kref.label("kref")
        device.pointee.hasChip.label("chip")
        device.pointee.readers.label("srcu")
        return device
    }

    /// `gpiod_get_value`
    func getValue() throws(KernelError) {
        if protection == .readSection { readers.enter() }
        defer { if protection == .readSection { readers.leave() } }
        guard hasChip.load(ordering: .acquiring) != 0 else { throw .noDevice }
        chip.pointee.readRegister()
    }

    /// `gpiochip_remove`
    func removeChip() {
        hasChip.store(0, ordering: .releasing)
        if protection == .readSection { readers.synchronize() }
    }
}

extension Storage<GPIODevice> {
    /// `gpio_device_put`
    fileprivate func put() {
        if pointee.kref.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
            unsafe free()
        }
    }
}

/// `struct srcu_struct`, with one counter: `synchronize` waits for later readers as well.
private struct SleepableReaders: ~Copyable, Sendable {
    private let count = WaitPoint()

    func label(_ name: @autoclosure () -> String) { count.label(name()) }

    /// `srcu_read_lock`
    func enter() { count.word.wrappingAdd(1, ordering: .acquiring) }

    /// `srcu_read_unlock`
    func leave() {
        if count.word.wrappingSubtract(1, ordering: .releasing).newValue == 0 { count.wake() }
    }

    /// `synchronize_srcu`
    func synchronize() {
        while true {
            let value = count.word.load(ordering: .acquiring)
            if value == 0 { return }
            count.wait(while: value)
        }
    }
}
