// SPDX-License-Identifier: Apache-2.0

import DeviceModel
import Explorer
import ExploringSupport
import Quiesce
import Substrate

/// A number that threads share.
final class Shared: Sendable {
    private let number = Atomic(0)

    init() { number.label("number") }

    func add(_ amount: Int = 1) { number.wrappingAdd(amount, ordering: .sequentiallyConsistent) }
    var value: Int { number.load(ordering: .sequentiallyConsistent) }
}

struct Failure: Error, Equatable {}

/// A driver that does what a test says, and notes what it is asked to do.
final class TestDriver: Driver {
    let name: String
    let compatible: Set<String>
    let log: Log
    private let onProbe: @Sendable (Binding) throws -> Void
    private let onRemove: @Sendable (Binding) -> Void

    init(
        _ name: String = "driver", compatible: Set<String> = ["test"], log: Log = Log(),
        probe: @escaping @Sendable (Binding) throws -> Void = { _ in },
        remove: @escaping @Sendable (Binding) -> Void = { _ in }
    ) {
        self.name = name
        self.compatible = compatible
        self.log = log
        onProbe = probe
        onRemove = remove
    }

    func probe(_ binding: Binding) throws {
        log.note("\(binding.device).probe")
        try onProbe(binding)
    }

    func remove(_ state: Void, _ binding: Binding) {
        log.note("\(binding.device).remove")
        onRemove(binding)
    }
}

/// A device that the test's driver matches.
func device(_ name: String, parent: Device? = nil) -> Device {
    Device(name: name, compatible: ["test"], parent: parent)
}

/// What a test's node has for its users: a register that a request is added to, and bytes to read.
final class Station: FileOperations {
    private let log: Log
    private let register: Revocable<Int>?
    private let bytes = Mutex<[UInt8]>([])

    init(log: Log = Log(), register: Revocable<Int>? = nil) {
        self.log = log
        self.register = register
        bytes.label("bytes")
    }

    deinit { log.note("freed") }

    func send(_ new: [UInt8]) { bytes.withLock { $0 += new } }

    func read(_ count: Int, _ file: Void, in entry: borrowing Gate.Entry) -> [UInt8]? {
        bytes.withLock { bytes in
            if bytes.isEmpty { return nil }
            defer { bytes.removeFirst(min(count, bytes.count)) }
            return Array(bytes.prefix(count))
        }
    }

    func poll(_ file: Void, in entry: borrowing Gate.Entry) -> Readiness {
        bytes.withLock { $0.isEmpty ? [] : .readable }
    }

    func control(_ request: Int, _ file: Void, in entry: borrowing Gate.Entry) -> Int? {
        guard let register else { return request }
        return register.withValue(in: entry) { $0 + request }
    }

    func close(_ file: Void) { log.note("close") }
}

/// The error that `body` throws.
func error(of body: () throws -> Void) -> QuiesceError? {
    do {
        try body()
        return nil
    } catch { return error as? QuiesceError }
}

/// Runs `body` in a world of its own: what other tests bind does not have deferred probes tried
/// again.
func alone(_ body: @escaping () throws -> Void) throws {
    try explore("alone") { _ in try body() }
}
