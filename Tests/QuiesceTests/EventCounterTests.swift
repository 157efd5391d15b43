// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

@Suite struct EventCounterTests {
    /// A counter, and memory that a signal publishes to the taker.
    private final class Event: Sendable {
        let counter: EventCounter
        let memory = Unsynchronized(0)

        init(_ value: UInt64 = 0, isSemaphore: Bool = false) {
            counter = EventCounter(value, isSemaphore: isSemaphore)
            memory.label("memory")
        }

        func signal() {
            do { try counter.signal() } catch { expect(false, "\(error)") }
        }

        func take(until deadline: WorldClock.Instant? = nil) -> UInt64? {
            do throws(QuiesceError) { return try counter.take(until: deadline) } catch {
                expect(
                    error == .closed("the event")
                        || error == .timedOut(of: "the event", occupants: []), "\(error)")
                return nil
            }
        }
    }

    private static let signalling: Program = { world in
        let event = Event()
        world.thread("signaller") {
            event.memory.store(1)
            event.signal()
        }
        world.thread("taker") {
            expect(event.take() == 1)
            _ = event.memory.load()
        }
    }

    @Test func `a signal wakes the taker, and publishes`() throws {
        try verify("signal", Self.signalling)
    }

    private static let semaphore: Program = { world in
        let event = Event(isSemaphore: true)
        for name in ["one", "other"] { world.thread(name) { expect(event.take() == 1) } }
        do { try event.counter.add(2) } catch { expect(false, "\(error)") }
        world.afterwards { expect(event.counter.value == 0) }
    }

    @Test func `a semaphore wakes as many as were added`() throws {
        try verify("semaphore", Self.semaphore)
    }

    private static let full: Program = { world in
        let event = Event(EventCounter.maximum)
        world.thread("adder") {
            do { try event.counter.add(5) } catch { expect(false, "\(error)") }
        }
        world.thread("taker") { expect(event.take() != nil) }
        world.afterwards { expect(event.counter.value == 5 || event.counter.value == 0) }
    }

    @Test func `an add waits for room`() throws { try verify("full", Self.full) }

    private static let hangingUp: Program = { world in
        let event = Event()
        let taken = Unsynchronized<UInt64?>.Shared()
        world.thread("taker") { taken.value.store(event.take()) }
        world.thread("signaller") { event.signal() }
        world.thread("closer") { event.counter.close() }
        // The signal is taken or still there.
        world.afterwards { expect((taken.value.load() ?? 0) + event.counter.value == 1) }
    }

    @Test func `closing ends the wait of the taker`() throws {
        try verify("hang-up", Self.hangingUp)
    }

    private static let late: Program = { world in
        let event = Event()
        world.thread("taker") {
            if event.take(until: WorldClock.now() + .seconds(1)) == nil {
                expect(event.take() == 1)
            }
        }
        world.thread("signaller") { event.signal() }
    }

    @Test func `a deadline loses no signal`() throws { try verify("late", Self.late) }

    static let mutants: [Mutant] = [
        Mutant(signalling, "Waiters.swift", "count.wrappingAdd(1", .skipped),
        Mutant(
            signalling, "Waiters.swift", "count.load(ordering: .sequentiallyConsistent)", .sees(0)),
        Mutant(
            signalling, "EventCounter.swift", "let (isExchanged, now) = count.compareExchange(",
            .relaxed),
        Mutant(
            signalling, "EventCounter.swift", "let (isExchanged, now) = count.compareExchange(",
            .skipped),
        Mutant(
            semaphore, "EventCounter.swift", "let (isExchanged, now) = count.compareExchange(",
            .unconditional),
        Mutant(full, "Waiter.swift", "point.wake(1)", .skipped),
        Mutant(hangingUp, "Waiter.swift", "point.wake(1)", .skipped),
        Mutant(late, "Waiter.swift", "point.wake(1)", .skipped),
        Mutant(
            late, "EventCounter.swift", "let (isExchanged, now) = count.compareExchange(", .skipped),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }

    // MARK: Tasks and ends

    @Test func `a task takes what a thread adds`() async throws {
        let counter = EventCounter()
        let taker = Task { try await counter.take() }
        #expect(try counter.tryAdd(7))
        #expect(try await taker.value == 7)
    }

    @Test func `a task adds when there is room`() async throws {
        let counter = EventCounter(EventCounter.maximum)
        let adder = Task { try await counter.add(3) }
        #expect(counter.tryTake() == EventCounter.maximum)
        try await adder.value
        #expect(counter.value == 3)
    }

    @Test func `a cancelled take has taken nothing`() async throws {
        let counter = EventCounter()
        let taker = Task { try await counter.take() }
        while counter.takers.waitingCount == 0 { await Task.yield() }
        taker.cancel()
        await #expect(throws: CancellationError.self) { try await taker.value }
        #expect(counter.takers.waitingCount == 0, "it is still in the line")
        try counter.signal()
        #expect(counter.tryTake() == 1)
    }

    @Test func `the last reference hangs up, and what is there can still be taken`() async throws {
        let counter = EventCounter(2)
        Reference(counter).drop()
        #expect(counter.readiness == [.readable, .writable, .closed])
        #expect(try await counter.take() == 2)
        await #expect(throws: QuiesceError.closed("the event")) { try await counter.take() }
        #expect(throws: QuiesceError.closed("the event")) { try counter.subscribe { _ in } }
    }

    @Test func `the greatest value cannot be added`() {
        #expect(throws: QuiesceError.invalidValue) { try EventCounter().tryAdd(.max) }
    }
}

extension Unsynchronized where Value == UInt64? {
    fileprivate final class Shared: Sendable {
        let value = Unsynchronized<UInt64?>(nil)
    }
}
