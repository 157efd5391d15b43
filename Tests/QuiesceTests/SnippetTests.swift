// SPDX-License-Identifier: Apache-2.0

import Explorer
import Glibc
import Substrate
import Testing

@testable import Quiesce

// The code of the articles: what is shown to a reader compiles, and does what is said.

final class Camera: Sendable {
    private let gate = Gate(name: "camera")
    private let frames = Atomic(0)

    /// Nil once the camera is unplugged.
    func read() -> Int? {
        gate.withEntry { _ in frames.wrappingAdd(1, ordering: .relaxed).newValue }
    }

    /// Once it returns nobody reads, and nobody ever will.
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

    /// Called by whoever notices something, at any time.
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

final class Bell: Sendable {
    private let rung = WaitPoint()

    func ring() {
        rung.word.store(1, ordering: .releasing)
        rung.wake()
    }

    func wait() {
        while rung.word.load(ordering: .acquiring) == 0 { rung.wait(while: 0) }
    }
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

@Suite struct SnippetTests {
    @Test func `the parts of a page are drawn, and counted`() throws {
        let queue = WorkQueue(name: "printer")
        let drawn = Atomic(0)
        let part: @Sendable () -> Void = { drawn.add(1, ordering: .relaxed) }
        #expect(try printPage([part, part], on: queue) == 2)
        #expect(drawn.load(ordering: .relaxed) == 2)
    }

    @Test func `a spooler runs on its queue`() async {
        #expect(await spool(on: WorkQueue(name: "spooler", .ordered)) == 1)
    }

    @Test func `an unplugged camera is read by nobody`() throws {
        try verify("camera") { world in
            let camera = Camera()
            world.thread("reader") { _ = camera.read() }
            world.thread("owner") {
                try? camera.unplug()
                expect(camera.read() == nil)
            }
        }
    }

    @Test func `a deadline is a duration or an instant`() throws {
        let (gate, queue) = (Gate(), WorkQueue(name: "queue"))
        try gate.close(within: .seconds(1))
        try queue.close(until: .now + .seconds(5))
        #expect(gate.isClosed)
    }

    @Test func `of two operations that remove one does`() throws {
        let gate = Gate()
        var removals = 0
        #expect(try removeSelf(gate) { removals += 1 })
        #expect(try !removeSelf(gate) { removals += 1 })
        #expect(removals == 1)
    }

    @Test func `unplugging closes both gates of a reader that waits inside them`() throws {
        try verify("turntable") { world in
            let turntable = Turntable()
            world.thread("reader") {
                turntable.motor.withEntry { _ in
                    _ = turntable.needle.withEntry { _ in
                        spin(while: { !turntable.motor.isClosing && !turntable.needle.isClosing })
                    }
                }
            }
            world.thread("owner") {
                do { try turntable.unplug() } catch { expect(false, "\(error)") }
                expect(turntable.motor.isClosed && turntable.needle.isClosed)
            }
        }
    }

    @Test func `unplugging wakes a reader`() throws {
        try verify("microphone") { world in
            let microphone = Microphone()
            world.thread("reader") { expect(microphone.read() == nil) }
            world.thread("owner") { try? microphone.unplug() }
        }
    }

    @Test func `a printer is reset, and goes`() throws {
        let printer = Reference(Printer())
        let queue = WorkQueue(name: "printers")
        printer.withObject { $0.pages.store(7, ordering: .relaxed) }
        requestReset(printer, on: queue)
        try queue.flush()
        printer.withObject { #expect($0.pages.load(ordering: .relaxed) == 0) }
        printer.drop()
    }

    @Test func `an item that says it blocks receives a byte`() throws {
        var ends: [Int32] = [-1, -1]
        try #require(unsafe pipe(&ends) == 0)
        let queue = WorkQueue(name: "queue")
        let received = Later<UInt8?>()
        receive(from: ends[0], on: queue) { received.set($0) }
        #expect(unsafe write(ends[1], [7], 1) == 1)
        try queue.close()
        #expect(received.value == 7)
        for end in ends { close(end) }
    }

    @Test func `a link that is unplugged polls no more`() throws {
        try verify("link", granularity: .coarse) { world in
            let link = Link()
            world.thread("interrupt") { _ = link.notice() }
            sure { try link.unplug() }
            expect(!link.notice())
        }
    }

    @Test func `a radio that is unplugged does not play`() throws {
        let radio = Radio()
        #expect(radio.play())
        try radio.unplug()
        #expect(!radio.play())
    }

    @Test func `a meter that has stopped counts no more`() throws {
        let (meter, event) = (Meter(), EventCounter())
        try meter.watch(event)
        try event.signal()
        try meter.stop()
        try event.signal()
        try meter.stop()
    }

    @Test func `a bell nobody hears is noticed`() throws {
        let ring: @Sendable (ExploredWorld) -> Void = { world in
            let bell = Bell()
            world.thread("visitor") { bell.ring() }
            world.thread("host") { bell.wait() }
        }
        var options = ExplorationOptions()
        options.mutation = Mutation("SnippetTests.swift", "rung.wake()", .skipped)
        let report = try Exploration("a bell nobody hears", options: options, ring).run()
        #expect(report.verdicts == [.lostWakeUp: 1] && report.mutations > 0)
    }
}
