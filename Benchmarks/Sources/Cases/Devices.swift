// SPDX-License-Identifier: Apache-2.0

import CPeers
import DeviceModel
import Quiesce
import Substrate
import Synchronization

/// Devices: an operation on an open file, and what binding and unbinding take as there is more.
public enum Devices {
    public static let all = [
        control, ownWork, lockedCall, resources, fewResources, amongMany, amongFew,
    ]

    /// The driver reads a word of its memory, which is behind the binding's gate.
    public static let control = Case(
        "control of an open file",
        .blocking { _ in
            let (bus, directory) = (Bus(), DeviceDirectory<Memory>())
            try! bus.register(MemoryDriver(directory))
            try! bus.add(Device(name: "memory", compatible: ["memory"]))
            let file = try! directory.openNow("memory")
            return { count in
                // The bus lives as long as its files are used.
                withExtendedLifetime(bus) {
                    for index in 0..<count { touch(try! file.controlNow(index)!) }
                }
            }
        })

    /// What the driver does for it, called by itself.
    public static let ownWork = Case(
        "control, the driver's own work",
        .blocking { _ in
            let value = Revocable(1)
            let memory = Memory(value)
            return { count in
                value.gate.withEntry { entry in
                    for index in 0..<count { touch(memory.control(index, (), in: entry)!) }
                }
            }
        })

    /// What one writes without: a lock around an optional.
    public static let lockedCall = Case(
        "call under a standard Mutex",
        .blocking { _ in
            let device = Locked()
            return { count in
                for index in 0..<count { touch(device.control(index)!) }
            }
        })

    /// For each resource of a device that has 10 000.
    public static let resources = bindAndUnbind("of 10 000", 10_000)
    public static let fewResources = bindAndUnbind("of 1 000", 1_000)

    private static func bindAndUnbind(_ name: String, _ count: Int) -> Case {
        Case(
            "bind + unbind, a resource \(name)", count: count,
            .blocking { _ in
                let (bus, driver) = (Bus(), ManyDriver())
                let device = Device(name: "many")
                try! bus.register(driver)
                try! bus.add(device)
                return { count in
                    driver.count.store(count, ordering: .relaxed)
                    try! device.bind(to: driver)
                    try! device.unbind()
                }
            })
    }

    public static let amongMany = findAndBind("a million", 1_000_000)
    public static let amongFew = findAndBind("a thousand", 1_000)

    private static func findAndBind(_ name: String, _ total: Int) -> Case {
        Case(
            "find, bind, unbind among \(name)", count: 1_000,
            .blocking { _ in
                let (bus, driver) = (Bus(), ManyDriver())
                for number in 0..<total { try! bus.add(Device(name: "device \(number)")) }
                try! bus.register(driver)
                return { count in
                    for index in 0..<count {
                        let device = bus.device(named: "device \(index * 7919 % total)")!
                        try! device.bind(to: driver)
                        try! device.unbind()
                    }
                }
            })
    }

    private static func touch(_ value: Int) {
        if value >= 0 { peers_touch_memory() }
    }
}

private final class Memory: FileOperations {
    private let value: Revocable<Int>

    init(_ value: Revocable<Int>) { self.value = value }

    func control(_ request: Int, _ file: Void, in entry: borrowing Gate.Entry) -> Int? {
        value.withValue(in: entry) { $0 &+ request }
    }
}

private final class MemoryDriver: Driver {
    let name = "memory"
    let compatible: Set = ["memory"]
    private let directory: DeviceDirectory<Memory>

    init(_ directory: DeviceDirectory<Memory>) { self.directory = directory }

    func probe(_ binding: Binding) throws {
        let value = try binding.acquire("value") { 1 }
        try binding.addCharacterDevice("memory", Memory(value), in: directory)
    }
}

/// Takes no device by itself.
private final class ManyDriver: Driver {
    let name = "many"
    let count = Substrate.Atomic(0)

    func probe(_ binding: Binding) throws {
        for index in 0..<count.load(ordering: .relaxed) {
            try binding.scope.add { if index >= 0 { peers_touch_memory() } }
        }
    }
}

private final class Locked: Sendable {
    private let value = Synchronization.Mutex<Int?>(1)

    func control(_ request: Int) -> Int? {
        value.withLock { value in value.map { $0 &+ request } }
    }
}
