// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Glibc
import Substrate
import Testing

@testable import Quiesce

// What the code of the articles does: it stands in `QuiesceSnippets.swift` and
// `SubstrateSnippets.swift`, and what is shown of tests stands here.

@Suite struct SnippetTests {
    private static let openAndDrop: Program = { world in
        let directory = Directory()
        let first = directory.open("printer")
        world.thread("visitor") {
            guard let found = directory.find("printer") else { return }
            found.withObject { expect($0.name == "printer") }
            found.drop()
        }
        first.drop()
        world.afterwards { expect(directory.isEmpty && directory.find("printer") == nil) }
    }

    @Test func `the last reference to a connection ends it on any thread`() throws {
        try verify("directory", Self.openAndDrop)
    }

    @Test func `a seat is taken once, by a thread or a task`() async throws {
        try verify("seats") { world in
            let seats = Seats(1)
            for name in ["one", "other"] {
                world.thread(name) { sure { try seats.take() } }
            }
            seats.give()
        }
        let seats = Seats(1)
        try await seats.take()
        await #expect(throws: QuiesceError.self) { try await seats.take(within: .zero) }
    }

    @Test func `uploads run in their turn until the service shuts down`() async throws {
        let uploads = Uploads()
        #expect(try await uploads.upload { 7 } == 7)
        try await uploads.shutDown()
        await #expect(throws: QuiesceError.closed("uploads")) { try await uploads.upload { 8 } }
    }

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
        try closeBoth(gate, queue)
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
        printer.withObject { $0.pageCount = 7 }
        requestReset(printer, on: queue)
        try queue.flush()
        printer.withObject { #expect($0.pageCount == 0) }
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
        options.mutation = Mutation("SubstrateSnippets.swift", "rung.wake()", .skipped)
        let report = try Exploration("a bell nobody hears", options: options, ring).run()
        #expect(report.verdicts == [.lostWakeUp: 1] && report.mutations > 0)
    }
}
