// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import Quiesce
import Synchronization

/// A device that gives back what was written to it, to the first that reads.
public final class Loopback: FileOperations {
    /// What a driver of real hardware would have mapped: gone with the binding.
    struct Buffer: ~Copyable, Sendable {
        let bytes = Mutex<[UInt8]>([])
        let limit = 4_096
    }

    private let buffer: Revocable<Buffer>
    private let counts: Counts
    /// Wakes those that wait in a file. The driver sets it when it has the node.
    let wake = Mutex<@Sendable () -> Void>({})

    init(_ buffer: Revocable<Buffer>, _ counts: Counts) {
        self.buffer = buffer
        self.counts = counts
        counts.nodes.add(1, ordering: .relaxed)
    }

    deinit { counts.nodes.subtract(1, ordering: .relaxed) }

    public func open(in entry: borrowing Gate.Entry) throws {
        counts.files.add(1, ordering: .relaxed)
    }

    public func read(_ count: Int, _ file: Void, in entry: borrowing Gate.Entry) -> [UInt8]? {
        let bytes = buffer.withValue(in: entry) { buffer in
            buffer.bytes.withLock { bytes -> [UInt8]? in
                guard !bytes.isEmpty else { return nil }
                defer { bytes.removeFirst(min(count, bytes.count)) }
                return Array(bytes.prefix(count))
            }
        }
        if bytes != nil { changed() }
        return bytes
    }

    public func write(_ new: [UInt8], _ file: Void, in entry: borrowing Gate.Entry) -> Int? {
        let count = buffer.withValue(in: entry) { buffer in
            buffer.bytes.withLock { bytes -> Int? in
                let room = buffer.limit - bytes.count
                guard room > 0 || new.isEmpty else { return nil }
                bytes += new.prefix(room)
                return min(room, new.count)
            }
        }
        if count != nil { changed() }
        return count
    }

    /// How many bytes wait.
    public func control(_ request: Request, _ file: Void, in entry: borrowing Gate.Entry) -> Int? {
        buffer.withValue(in: entry) { buffer in buffer.bytes.withLock { $0.count } }
    }

    public enum Request: Sendable { case count }

    public func poll(_ file: Void, in entry: borrowing Gate.Entry) -> Readiness {
        buffer.withValue(in: entry) { buffer in
            buffer.bytes.withLock { bytes in
                var result: Readiness = []
                if !bytes.isEmpty { result.insert(.readable) }
                if bytes.count < buffer.limit { result.insert(.writable) }
                return result
            }
        }
    }

    public func close(_ file: Void) { counts.files.subtract(1, ordering: .relaxed) }

    private func changed() { wake.withLock { $0 }() }
}

/// What is alive.
public final class Counts: Sendable {
    public let files = Atomic(0)
    public let nodes = Atomic(0)
    public let bindings = Atomic(0)

    public init() {}

    public var isNothingLeft: Bool {
        files.load(ordering: .relaxed) == 0 && nodes.load(ordering: .relaxed) == 0
            && bindings.load(ordering: .relaxed) == 0
    }
}

/// Drives loopback devices.
final class LoopbackDriver: Driver {
    let name = "loopback"
    let compatible: Set = ["loopback"]
    private let directory: DeviceDirectory<Loopback>
    private let counts: Counts

    init(_ directory: DeviceDirectory<Loopback>, _ counts: Counts) {
        self.directory = directory
        self.counts = counts
    }

    func probe(_ binding: Binding) throws {
        counts.bindings.add(1, ordering: .relaxed)
        try binding.scope.add("count") { [counts] in
            counts.bindings.subtract(1, ordering: .relaxed)
        }
        let buffer = try binding.acquire("buffer") { Loopback.Buffer() }
        let loopback = Loopback(buffer, counts)
        let node = try binding.addCharacterDevice(
            binding.device.name, loopback, in: directory)
        // The node has the operations: they must not keep it.
        loopback.wake.withLock { wake in wake = { [weak node] in node?.wake() } }
    }
}

/// The devices of the server.
public final class Hub: Sendable {
    public let bus = Bus(name: "hub")
    public let directory = DeviceDirectory<Loopback>()
    public let counts = Counts()

    public init() async throws {
        try await bus.register(LoopbackDriver(directory, counts))
    }

    public func plug(_ name: String) async throws {
        try await bus.add(Device(name: name, compatible: ["loopback"]))
    }

    /// - Throws: `.noDevice` when there is none of this name.
    public func unplug(_ name: String) async throws {
        guard let device = bus.device(named: name) else {
            throw QuiesceError.noDevice(of: name, operation: "unplugging")
        }
        try await bus.remove(device)
    }
}
