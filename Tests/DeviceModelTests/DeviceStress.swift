// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import Foundation
import Quiesce
import Substrate
import TestSupport
import Testing

/// Real threads against each other; also meant for `swift test --sanitize=thread --filter Stress`.
@Suite(.serialized) struct DeviceStress {
    /// What is alive, and what went wrong.
    private final class Tally: Sendable {
        let files = Shared()
        let nodes = Shared()
        let mappings = Shared()
        let wrong = Shared()
        let operations = Shared()
    }

    /// Memory that is mapped while a driver is bound. Plain, so that a sanitizer sees a use that
    /// nothing orders before its end.
    private struct Mapping: ~Copyable, @unchecked Sendable {
        private final class Memory { var isMapped = true }

        private let memory = Memory()
        private let tally: Tally

        init(_ tally: Tally) {
            self.tally = tally
            tally.mappings.add()
        }

        var isMapped: Bool { memory.isMapped }

        deinit {
            memory.isMapped = false
            tally.mappings.add(-1)
        }
    }

    private final class Camera: FileOperations {
        private let mapping: Revocable<Mapping>
        private let tally: Tally
        /// Set by `remove`.
        private let isStopped = Atomic(false)

        init(_ mapping: Revocable<Mapping>, _ tally: Tally) {
            self.mapping = mapping
            self.tally = tally
            tally.nodes.add()
        }

        deinit { tally.nodes.add(-1) }

        func stop() { isStopped.store(true, ordering: .sequentiallyConsistent) }

        private func use(_ entry: borrowing Gate.Entry) {
            if isStopped.load(ordering: .sequentiallyConsistent) { tally.wrong.add() }
            if !mapping.withValue(in: entry, { $0.isMapped }) { tally.wrong.add() }
        }

        func open(in entry: borrowing Gate.Entry) throws {
            use(entry)
            tally.files.add()
        }

        func read(_ count: Int, _ file: Void, in entry: borrowing Gate.Entry) -> [UInt8]? {
            use(entry)
            // Every other one would sleep.
            return count == 0 ? nil : [1]
        }

        func control(_ request: Int, _ file: Void, in entry: borrowing Gate.Entry) -> Int? {
            use(entry)
            return request
        }

        func close(_ file: Void) { tally.files.add(-1) }
    }

    private final class CameraDriver: Driver {
        let name = "camera"
        let compatible: Set = ["camera"]
        private let tally: Tally
        private let directory: DeviceDirectory<Camera>

        init(_ tally: Tally, _ directory: DeviceDirectory<Camera>) {
            self.tally = tally
            self.directory = directory
        }

        func probe(_ binding: Binding) throws -> Camera {
            let mapping = try binding.acquire("mapping") { Mapping(tally) }
            let camera = Camera(mapping, tally)
            try binding.addCharacterDevice(binding.device.name, camera, in: directory)
            return camera
        }

        func remove(_ camera: Camera, _ binding: Binding) { camera.stop() }
    }

    /// How often a device is plugged in: more where the environment says so.
    private static let cycles =
        ProcessInfo.processInfo.environment["QUIESCE_STRESS_CYCLES"].flatMap { Int($0) } ?? 10_000

    /// Eight clients open, read, control, poll and close, while devices are plugged and unplugged.
    /// Nothing answers after unbind, and in the end nothing is left.
    @Test func `devices come and go while files are open`() throws {
        let (clients, devices) = (8, 4)
        let cycles = Self.cycles / devices
        let tally = Tally()
        let ended = Shared()
        do {
            let bus = Bus(name: "bus")
            let directory = DeviceDirectory<Camera>()
            try bus.register(CameraDriver(tally, directory))
            try together(clients + devices) { index in
                guard index < clients else {
                    let name = "video\(index - clients)"
                    for _ in 0..<cycles {
                        let device = Device(name: name, compatible: ["camera"])
                        do {
                            try bus.add(device)
                            if !device.isBound { tally.wrong.add() }
                            try bus.remove(device)
                        } catch { tally.wrong.add() }
                    }
                    ended.add()
                    return
                }
                var files: [OpenFile<Camera>] = []
                var turn = index
                while ended.value < devices {
                    turn &+= 1
                    if let file = try? directory.openNow("video\(turn % devices)") {
                        files.append(file)
                    }
                    for file in files {
                        do {
                            if turn % 16 == index { _ = try file.read(0) }
                            if try file.control(turn) != turn { tally.wrong.add() }
                            tally.operations.add()
                        } catch {
                            guard case QuiesceError.noDevice = error else {
                                tally.wrong.add()
                                continue
                            }
                        }
                    }
                    if files.count > 3 {
                        do { try files.removeFirst().close() } catch { tally.wrong.add() }
                    }
                }
            }
            try bus.close()
        }
        #expect(tally.wrong.value == 0 && tally.operations.value > 0)
        #expect(tally.files.value == 0 && tally.nodes.value == 0 && tally.mappings.value == 0)
    }
}
