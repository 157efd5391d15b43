// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceStories
import Substrate

/// "A typical conversion to devm_* helpers doesn't conceptually introduce bugs, because the bugs
/// have been there all along."
///
/// The conversion of the camera sensor mt9p031 takes `gpio_free` and `kfree` out of `remove` and
/// out of the error path of `probe`. In `remove` the order of the calls stays. In the error path
/// the reset line is freed last, where it was freed first. An open file of the subdevice is used
/// after the structure was freed before the conversion, and after it.
enum MT9P031Conversion {
    /// The driver, before or after the conversion.
    private struct Driver: Sendable {
        let isConverted: Bool
        let device: KernelDevice
        let map: CharacterDeviceMap
        let calls: Calls

        init(isConverted: Bool, in world: ExploredWorld) {
            self.isConverted = isConverted
            device = KernelDevice("mt9p031", in: world)
            map = CharacterDeviceMap(in: world)
            calls = Calls(in: world)
        }

        /// `mt9p031_probe`
        ///
        /// - Parameter answers: whether what comes after the reset line succeeds.
        func probe(answers: Bool = true) throws(KernelError) -> Sensor {
            try device.probe { () throws(KernelError) -> Sensor in
                let state = DriverState.allocate("sensor")
                if isConverted { device.manage("sensor") { calls.free(state) } }
                // gpio_request_one
                if isConverted { device.manage("reset") { calls.make("gpio_free") } }
                guard answers else {
                    if !isConverted { calls.make("gpio_free") }
                    calls.make("v4l2_ctrl_handler_free")
                    calls.make("media_entity_cleanup")
                    if !isConverted { calls.free(state) }
                    throw .inputOutput
                }
                // The bridge's driver makes the node of the subdevice, and closing it calls
                // mt9p031_close.
                let node = DeviceNode.allocate(
                    operations: FileOperations(release: { state.use() }))
                map.add(node)
                return Sensor(state: state, node: node)
            }
        }

        /// `mt9p031_remove`
        func unbind(_ sensor: Sensor) {
            device.unbind {
                calls.make("v4l2_ctrl_handler_free")
                // v4l2_device_unregister_subdev
                map.delete(sensor.node)
                calls.make("media_entity_cleanup")
                if !isConverted {
                    calls.make("gpio_free")
                    calls.free(sensor.state)
                }
            }
        }
    }

    /// `struct mt9p031`, and the node that leads to it.
    private struct Sensor: Sendable {
        let state: Storage<DriverState>
        let node: Storage<DeviceNode>
    }

    /// The calls that release the driver's resources, in their order.
    private final class Calls: Sendable {
        private let world: ExploredWorld
        private let made = Unsynchronized<[String]>([])

        init(in world: ExploredWorld) {
            self.world = world
            made.label("calls")
        }

        func make(_ name: String) {
            world.note(name)
            made.withValue { $0.append(name) }
        }

        func free(_ state: Storage<DriverState>) {
            made.withValue { $0.append("kfree") }
            unsafe state.free()
        }

        var inOrder: [String] { made.load() }
    }

    private static func closeAfterUnbind(_ world: ExploredWorld, isConverted: Bool) {
        let driver = Driver(isConverted: isConverted, in: world)
        guard let sensor = try? driver.probe() else { return }
        world.thread("user space") {
            guard let file = try? driver.map.open() else { return }
            file.close()
        }
        world.thread("hotplug") { driver.unbind(sensor) }
    }

    static let before = Story(
        "mt9p031-before", text: DevmHarmful.text, .broken,
        "mt9p031 with kzalloc: close after unbind",
        expecting: .useAfterFree
    ) { closeAfterUnbind($0, isConverted: false) }

    static let after = Story(
        "mt9p031-after", text: DevmHarmful.text, .broken,
        "mt9p031 with devm: close after unbind",
        expecting: .useAfterFree
    ) { closeAfterUnbind($0, isConverted: true) }

    /// The error path of `probe` releases everything, before the conversion and after it.
    static let errorPath = Story(
        "mt9p031-error-path-kernel", text: DevmHarmful.text, .repaired,
        "mt9p031: error path, before and after"
    ) { world in
        let orders = [
            (false, ["gpio_free", "v4l2_ctrl_handler_free", "media_entity_cleanup", "kfree"]),
            (true, ["v4l2_ctrl_handler_free", "media_entity_cleanup", "gpio_free", "kfree"]),
        ]
        for (isConverted, order) in orders {
            let driver = Driver(isConverted: isConverted, in: world)
            let error = KernelError.of { () throws(KernelError) in
                _ = try driver.probe(answers: false)
            }
            expect(error == .inputOutput)
            expect(driver.calls.inOrder == order)
        }
    }
}
