// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import Quiesce

// What the articles show, as a reader would write it.

/// The registers of a camera, as long as they are mapped.
struct Registers: ~Copyable, Sendable {
    init(of device: Device) throws {}

    func exposure() -> Int { 1 }
    func stop() {}
}

/// What users do with a camera. It lives as long as one of them has it open.
final class Camera: FileOperations {
    let registers: Revocable<Registers>

    init(_ registers: Revocable<Registers>) { self.registers = registers }

    /// Called while the driver is bound, and at no other time.
    func control(_ request: CameraRequest, _ file: Void, in entry: borrowing Gate.Entry) -> Int? {
        switch request {
        case .exposure: registers.withValue(in: entry) { $0.exposure() }
        }
    }
}

enum CameraRequest { case exposure }

final class CameraDriver: Driver {
    let name = "camera"
    let compatible: Set = ["acme,camera"]
    let directory = DeviceDirectory<Camera>()

    func probe(_ binding: Binding) throws -> Camera {
        let registers = try binding.acquire("registers") { try Registers(of: binding.device) }
        let camera = Camera(registers)
        try binding.addCharacterDevice("video0", camera, in: directory)
        return camera
    }

    func remove(_ camera: Camera, _ binding: Binding) {
        camera.registers.withValue { $0.stop() }
    }
}

func plugAndUnplug() throws {
    let (bus, driver) = (Bus(name: "usb"), CameraDriver())
    let device = Device(name: "1-1", compatible: ["acme,camera"])
    try bus.register(driver)
    try bus.add(device)  // probe runs

    let file = try driver.directory.openNow("video0")
    print(try file.control(.exposure))

    try bus.remove(device)  // waits for those inside, wakes those that sleep, runs remove
    do { try file.control(.exposure) } catch { print(error) }
    try file.close()  // the last one: the camera ends here
}

/// Prints what happens on a bus, until it is closed.
func log(_ bus: Bus) async throws {
    for try await event in bus.events() { print(event) }
}

/// A sensor needs the regulator of another device.
func link(_ sensor: Device, to supply: Device) throws {
    try sensor.link(to: supply)
}
