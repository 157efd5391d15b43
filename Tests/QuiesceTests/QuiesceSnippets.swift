// SPDX-License-Identifier: Apache-2.0

// A reader's file may import these four together, so no name of Quiesce may collide with one of
// theirs. The code of the articles that uses Quiesce alone stands here, and so compiles beside
// them. `Scripts/check-snippets` compiles this file in a package of its own as well.
import Dispatch
import Foundation
import Quiesce
import Synchronization

final class Camera: Sendable {
    private let gate = Gate(name: "camera")
    private let frames = Atomic(0)

    /// Nil once the camera is unplugged.
    func read() -> Int? {
        gate.withEntry { _ in frames.wrappingAdd(1, ordering: .relaxed).newValue }
    }

    /// Once it returns no thread reads, and none will.
    func unplug() throws { try gate.close() }
}

/// An operation that removes what it operates on. Of two at once one removes, and the other returns
/// after that.
func removeSelf(_ gate: Gate, _ remove: () -> Void) throws -> Bool {
    let isMine = try gate.withOwnedEntry { entry in
        guard let entry = try entry.closeFromInside() else { return false }
        remove()
        entry.leave()
        return true
    }
    return isMine ?? false
}

final class Microphone: Sendable {
    private let samples = EventCounter()
    private let gate: Gate

    init() {
        gate = Gate(name: "microphone", whenClosing: { [samples] in samples.close() })
    }

    /// Waits for a sample. Nil once the microphone is unplugged.
    func read() -> UInt64? {
        gate.withEntry { _ in try? samples.take() } ?? nil
    }

    func unplug() throws { try gate.close() }
}

/// A reader waits inside both gates, and leaves when either is closing.
final class Turntable: Sendable {
    let motor = Gate(name: "motor")
    let needle = Gate(name: "needle")

    func unplug() throws { try Gate.close([motor, needle]) }
}

/// A device that resets itself when it is told to, and lives until the last of that is done.
final class Printer: ReferenceCounted {
    let referenceCount = ReferenceCount()
    let pages = Atomic(0)
    let reset = ObjectWork<Printer>(name: "reset") { printer in
        printer.withObject { $0.pages.store(0, ordering: .relaxed) }
    }  // The reference ends here, and perhaps the printer with it, and this item.

    func release() {}
}

func requestReset(_ printer: borrowing Reference<Printer>, on queue: WorkQueue) {
    _ = queue.enqueue(printer.withObject { $0.reset }, printer.share())
}

/// Calls `done` with the next byte of a descriptor.
func receive(
    from descriptor: Int32, on queue: WorkQueue, _ done: @escaping @Sendable (UInt8?) -> Void
) {
    _ = queue.enqueue {
        var byte: UInt8 = 0
        let count = withBlocking { unsafe read(descriptor, &byte, 1) }
        done(count == 1 ? byte : nil)
    }
}

final class Link: Sendable {
    private let queue = WorkQueue(name: "link", .ordered)
    private let poll = Work(name: "poll") {}

    /// Called at any time, on any thread, by code that notices something.
    func notice() -> Bool { queue.enqueue(poll) == .queued }

    func unplug() throws {
        try poll.close()
        try queue.close()
    }
}

struct Tuner: ~Copyable, Sendable {
    func tune() {}
}

struct Amplifier: ~Copyable, Sendable {
    func amplify() {}
}

final class Radio: Sendable {
    let gate = Gate(name: "radio")
    let tuner: Revocable<Tuner>
    let amplifier: Revocable<Amplifier>

    init() {
        tuner = Revocable(Tuner(), gate: gate)
        amplifier = Revocable(Amplifier(), gate: gate)
    }

    /// One check for two values.
    func play() -> Bool {
        let played: Void? = gate.withEntry { entry in
            tuner.withValue(in: entry) { $0.tune() }
            amplifier.withValue(in: entry) { $0.amplify() }
        }
        return played != nil
    }

    func unplug() throws {
        try tuner.close()
        try amplifier.close()
    }
}

final class Meter: Sendable {
    private let total = Atomic(0)
    private let notifier = Mutex<Subscription?>(nil)

    func watch(_ event: EventCounter) throws {
        let attached = try event.subscribe(onSignal: { [self] _ in
            total.wrappingAdd(1, ordering: .relaxed)
        })
        notifier.withLock { $0 = attached }
    }

    /// Once it returns no callback runs and none will: what the callback used may go away.
    func stop() throws {
        let attached = notifier.withLock { $0.take() }
        try attached?.close()
    }
}

func closeBoth(_ gate: Gate, _ queue: WorkQueue) throws {
    try gate.close(within: .seconds(1))
    try queue.close(until: .now + .seconds(5))
}

/// A connection that ends when its last user is done.
final class Connection: ReferenceCounted {
    let referenceCount = ReferenceCount()
    let name: String
    private let directory: Directory

    init(_ name: String, in directory: Directory) {
        self.name = name
        self.directory = directory
    }

    /// Called once, by the thread that drops the last reference.
    func release() { directory.forget(self) }
}

/// Finds connections by name. It keeps their memory and does not keep them open.
final class Directory: Sendable {
    private let connections = Mutex<[String: Connection]>([:])

    func open(_ name: String) -> Reference<Connection> {
        let connection = Connection(name, in: self)
        let first = Reference(connection)
        connections.withLock { $0[name] = connection }
        return first
    }

    /// Nil when there is none, and when the last reference to it is gone.
    func find(_ name: String) -> Reference<Connection>? {
        connections.withLock { $0[name] }?.tryReference()
    }

    fileprivate func forget(_ connection: Connection) {
        connections.withLock {
            if $0[connection.name] === connection { $0[connection.name] = nil }
        }
    }
}

/// Uploads one thing after the other, until the service that it belongs to shuts down.
final class Uploads: Sendable {
    private let gate = Gate(name: "uploads")
    private let queue = WorkQueue(name: "uploads", .ordered)

    /// Runs `body` in its turn. Throws `QuiesceError.closed` once the service shuts down.
    func upload<Answer: Sendable>(_ body: @escaping @Sendable () throws -> Answer) async throws
        -> Answer
    {
        try await gate.withTaskEntryOrThrow { _ in try await queue.run(body) }
    }

    /// Returns when no upload runs and none will. A deadline that passes names those that run.
    func shutDown() async throws {
        try await gate.close(within: .seconds(5))
        try await queue.close(within: .seconds(5))
    }
}

// MARK: What the tests of these look at

extension Printer {
    var pageCount: Int {
        get { pages.load(ordering: .relaxed) }
        set { pages.store(newValue, ordering: .relaxed) }
    }
}

extension Directory {
    var isEmpty: Bool { connections.withLock { $0.isEmpty } }
}

/// Draws all parts of a page, and then prints it.
func printPage(_ parts: [@Sendable () -> Void], on queue: WorkQueue) throws -> Int {
    let group = WorkGroup(name: "page")
    for part in parts where group.enqueue(on: queue, part) != .queued {
        throw QuiesceError.closed(queue.name)
    }
    try group.wait(within: .seconds(60))
    return try queue.run(name: "count") { parts.count }
}

actor Spooler {
    private let executor: WorkQueueExecutor
    private var pages = 0

    init(on queue: WorkQueue) { executor = WorkQueueExecutor(queue) }

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe executor.asUnownedSerialExecutor()
    }

    func add() -> Int {
        pages += 1
        return pages
    }
}

func spool(on queue: WorkQueue) async -> Int {
    let spooler = Spooler(on: queue)
    return await withTaskExecutorPreference(queue) { await spooler.add() }
}

// MARK: Resources that end in order

final class CameraDevice: Sendable {
    func powerDown() {}
    func freeInterrupt() {}
    func publish() {}
    func withdraw() {}
    func stop() {}
}

struct Registers: ~Copyable, Sendable {
    init(of camera: CameraDevice) {}
}

struct CameraMemory: Sendable {}

/// What an open file of a camera keeps: it lives until the last close.
final class CameraState: ReferenceCounted {
    let referenceCount = ReferenceCount()
    let scope = ObjectScope(name: "camera state")

    func release() {
        do { try scope.close() } catch { print(error) }
    }
}

/// What the driver has while it is bound: taken away at unbind.
func probe(_ camera: CameraDevice, _ binding: BindingScope) throws -> Revocable<Registers> {
    let power = try binding.add("power") { camera.powerDown() }
    let registers = try binding.acquire("registers") { Registers(of: camera) }
    let interrupt = try binding.add("interrupt") { camera.freeInterrupt() }
    try binding.release(interrupt, before: power)
    try binding.register("video0") {
        camera.publish()
    } unregister: {
        camera.withdraw()
    }
    return registers
}

func unbind(_ camera: CameraDevice, _ binding: BindingScope) throws {
    try binding.closeRegistrations()  // no new user comes in
    camera.stop()  // the driver's remove
    try binding.close()  // waits for users of values, and gives all back
}

/// The node of a device: whichever is dropped last, the device's state ends after the node.
func open(_ device: borrowing Reference<ManagedObject<CameraMemory>>) throws
    -> Reference<ManagedObject<Int>>
{
    let node = Reference(ManagedObject(0, name: "video0") { _ in })
    try node.keep(device)
    return node
}
