// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// The stories of open files and of providers once more, with the device model: what a driver has
/// to do right by itself there, it cannot do wrong here.
enum WithDeviceModel {
    static let stories = [
        closeAfterUnbind, readSleeps, ioctlUnderUnbind, managedRegistration, openAgainstUnregister,
        emptyRelease, clockRemoved, gpioRemoved, regulatorRemoved,
    ]

    // Other stories have types of their own of these names.
    private typealias Device = DeviceModel.Device
    private typealias FileOperations = DeviceModel.FileOperations

    /// A camera whose state is the open files' too: it ends with the last of them.
    private final class Camera: FileOperations {
        private let state = Owned(DriverState.allocate())
        /// What the driver has while it is bound, if it has mapped something.
        private let registers: Revocable<Owned<Registers>>?

        init(_ registers: Revocable<Owned<Registers>>? = nil) { self.registers = registers }

        /// There never is a frame.
        func read(_ count: Int, _ file: Void, in entry: borrowing Gate.Entry) -> [UInt8]? { nil }

        func control(_ request: Void, _ file: Void, in entry: borrowing Gate.Entry) -> Void? {
            registers?.withValue(in: entry) { $0.memory.pointee.readStatus() }
            state.memory.use()
            return ()
        }

        func close(_ file: Void) { state.memory.use() }
    }

    private final class CameraDriver: Driver {
        let name = "camera"
        let directory = DeviceDirectory<Camera>(name: "/dev")

        func matches(_ device: Device) -> Bool { true }

        func probe(_ binding: Binding) throws {
            let registers = try binding.acquire("registers") { Owned(Registers.map()) }
            try binding.addCharacterDevice("video0", Camera(registers), in: directory)
        }
    }

    /// A camera that is plugged in, and who uses it against who unplugs it.
    private static func program(
        _ world: ExploredWorld, _ use: @escaping @Sendable (OpenFile<Camera>) throws -> Void
    ) throws {
        let (bus, driver, device) = (Bus(name: "bus"), CameraDriver(), Device(name: "camera"))
        try bus.register(driver)
        try bus.add(device)
        world.thread("user space") {
            guard let file = try? driver.directory.openNow("video0") else { return }
            sure {
                try use(file)
                world.note("close")
                try file.close()
            }
        }
        world.thread("hotplug") { sure { try bus.remove(device) } }
    }

    /// What must be answered by a device that may be gone.
    private static func orGone(_ body: () throws -> Void) throws {
        do { try body() } catch QuiesceError.noDevice {}
    }

    static let closeAfterUnbind = Story(
        "close-after-unbind-devices", text: DevmHarmful.text, .repaired,
        "CharacterDevice: ends with the last file"
    ) { try program($0) { _ in } }

    static let readSleeps = Story(
        "read-sleeps-over-unbind-devices", text: DevmHarmful.text, .repaired,
        "OpenFile: a read that sleeps wakes up"
    ) { world in
        try program(world) { file in
            do {
                _ = try file.read(1)
                expect(false, "it read something")
            } catch { expect(error as? QuiesceError == .noDevice(of: "video0", operation: "read")) }
        }
    }

    static let ioctlUnderUnbind = Story(
        "ioctl-under-unbind-devices", text: DevmHarmful.text, .repaired,
        "OpenFile: unbind waits for the ioctl"
    ) { world in try program(world) { file in try orGone { try file.control(()) } } }

    static let openAgainstUnregister = Story(
        "open-against-unregister-devices", text: DevmHarmful.text, .repaired,
        "DeviceDirectory: a file, or no device"
    ) { world in
        try program(world) { file in
            let error = KernelError.of { () throws(KernelError) in
                do { try file.control(()) } catch { throw .noDevice }
            }
            if error != nil { world.note("ioctl: no device") }
        }
    }

    /// The driver's `remove` frees what its operations use.
    private final class BufferDriver: Driver {
        struct Operations: FileOperations {
            let buffer: Storage<DriverState>
            func control(_ request: Void, _ file: Void, in entry: borrowing Gate.Entry) -> Void? {
                buffer.use()
                return ()
            }
        }

        let name = "camera"
        let directory = DeviceDirectory<Operations>(name: "/dev")

        func matches(_ device: Device) -> Bool { true }

        func probe(_ binding: Binding) throws -> Storage<DriverState> {
            let buffer = DriverState.allocate("buffer")
            try binding.addCharacterDevice("video0", Operations(buffer: buffer), in: directory)
            return buffer
        }

        func remove(_ buffer: Storage<DriverState>, _ binding: Binding) { unsafe buffer.free() }
    }

    static let managedRegistration = Story(
        "managed-registration-devices", text: DevmHarmful.text, .repaired,
        "Driver: remove runs after users are out"
    ) { world in
        let (bus, driver, device) = (Bus(name: "bus"), BufferDriver(), Device(name: "camera"))
        try bus.register(driver)
        try bus.add(device)
        world.thread("user space") {
            guard let file = try? driver.directory.openNow("video0") else { return }
            sure { try orGone { try file.control(()) } }
        }
        world.thread("hotplug") { sure { try bus.remove(device) } }
    }

    static let emptyRelease = Story(
        "empty-release-devices", text: DevmHarmful.text, .repaired,
        "Driver: each probe makes a new node"
    ) { world in
        let (bus, driver, device) = (Bus(name: "bus"), CameraDriver(), Device(name: "camera"))
        try bus.register(driver)
        try bus.add(device)
        let old = try driver.directory.openNow("video0")
        world.thread("user space") {
            sure {
                try orGone { try old.control(()) }
                try old.close()
            }
        }
        world.thread("hotplug") {
            sure {
                try device.unbind()
                try device.bind(to: driver)
                try driver.directory.openNow("video0").control(())
            }
        }
        world.afterwards { sure { try bus.close() } }
    }

    /// Hardware whose registers are the driver's, and end with its binding.
    private struct Hardware: ClockHardware, GPIOHardware, RegulatorHardware {
        let state: Storage<ProviderState>
        var lineCount: Int { 1 }

        private func touch() { state.pointee.readRegister() }

        func enable() { touch() }
        func disable() { touch() }
        func rate() -> UInt64 {
            touch()
            return 0
        }
        func setRate(_ hertz: UInt64) -> UInt64 { hertz }
        func setDirection(_ direction: GPIOLine.Direction, of line: Int) { touch() }
        func setLevel(_ isHigh: Bool, of line: Int) { touch() }
        func level(of line: Int) -> Bool {
            touch()
            return true
        }
    }

    /// Offers one provider, which `make` makes of the hardware.
    private final class ProviderDriver<Offered: Provider>: Driver {
        let name = "provider"
        private let make: @Sendable (Hardware) -> Offered
        private let offered = Mutex<Offered?>(nil)

        init(_ make: @escaping @Sendable (Hardware) -> Offered) {
            self.make = make
            offered.label("offered")
        }

        var provider: Offered? { offered.withLock { $0 } }

        func matches(_ device: Device) -> Bool { device.name == name }

        func probe(_ binding: Binding) throws {
            let state = ProviderState.allocate("registers")
            try binding.scope.add("registers") { unsafe state.free() }
            let provider = make(Hardware(state: state))
            try binding.provide(provider)
            offered.withLock { $0 = provider }
        }
    }

    private static func provided<Offered: Provider>(
        _ world: ExploredWorld, _ make: @escaping @Sendable (Hardware) -> Offered,
        _ consume: @escaping @Sendable (Offered) throws -> Void
    ) throws {
        let (bus, device) = (Bus(name: "bus"), Device(name: "provider"))
        let driver = ProviderDriver(make)
        try bus.register(driver)
        try bus.add(device)
        guard let provider = driver.provider else { return expect(false, "nothing is offered") }
        world.thread("consumer") { sure { try orGone { try consume(provider) } } }
        world.thread("hotplug") { sure { try bus.remove(device) } }
    }

    static let clockRemoved = Story(
        "clock-removed-devices", text: DevmHarmful.text, .repaired,
        "ClockProvider: removed, it answers"
    ) { world in
        try provided(world, { ClockProvider(name: "clk", $0) }) { provider in
            _ = try provider.clock().rate()
        }
    }

    static let gpioRemoved = Story(
        "gpio-removed-devices", text: DevmHarmful.text, .repaired,
        "GPIOChip: removed, its lines answer"
    ) { world in
        try provided(world, { GPIOChip(name: "gpio", $0) }) { chip in
            _ = try chip.request(0, by: "consumer").level()
        }
    }

    /// The consumer's driver keeps the regulator on while it is bound. A link has it unbound before
    /// the provider is, and it switches off what is still there.
    static let regulatorRemoved = Story(
        "regulator-removed-devices", text: DevmHarmful.text, .repaired,
        "DeviceLink: consumer is unbound first"
    ) { world in
        final class ConsumerDriver: Driver {
            let name = "consumer"
            private let supplier: ProviderDriver<RegulatorProvider>

            init(_ supplier: ProviderDriver<RegulatorProvider>) { self.supplier = supplier }

            func matches(_ device: Device) -> Bool { device.name == name }

            func probe(_ binding: Binding) throws -> Regulator {
                guard let provider = supplier.provider else { throw ProbeDeferral("no regulator") }
                let regulator = try provider.regulator()
                try regulator.enable()
                return regulator
            }

            func remove(_ regulator: Regulator, _ binding: Binding) {
                sure { try regulator.disable() }
                expect(supplier.provider?.isGone == false, "the regulator has gone first")
            }
        }
        let (bus, queue) = (Bus(name: "bus"), WorkQueue(name: "queue"))
        let supplier = ProviderDriver { RegulatorProvider(name: "vcc", $0, queue: queue) }
        let (provider, consumer) = (Device(name: "provider"), Device(name: "consumer"))
        try consumer.link(to: provider)
        try bus.register(supplier)
        try bus.register(ConsumerDriver(supplier))
        try bus.add(provider)
        world.thread("consumer") { sure { try bus.add(consumer) } }
        world.thread("hotplug") { sure { try bus.remove(provider) } }
        world.afterwards { expect(!consumer.isBound && !provider.isBound) }
    }
}
