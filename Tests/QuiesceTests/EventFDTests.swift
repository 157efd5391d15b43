// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Explorer
import ExploringSupport
import Glibc
import Substrate
import TestSupport
import Testing

@testable import Quiesce

@Suite struct EventFDTests {
    private let past = WorldClock.Instant(nanoseconds: 1)

    // MARK: The counter

    @Test func `a take returns everything that was added, and a semaphore's 1 at a time`() throws {
        let event = try EventFD(2)
        #expect(try event.signal())
        #expect(try event.tryAdd(4))
        #expect(try event.take() == 7)
        #expect(try event.tryTake() == nil)
        let semaphore = try EventFD(1, isSemaphore: true)
        try semaphore.add(1)
        #expect(try [semaphore.take(), semaphore.take()] == [1, 1])
        #expect(try semaphore.tryTake() == nil)
    }

    @Test func `a full counter takes no more`() throws {
        let event = try EventFD()
        #expect(try event.tryAdd(EventCounter.maximum))
        #expect(event.readiness == .readable)
        #expect(try event.tryAdd(1) == false)
        #expect(try event.signal() == false)
        #expect(throws: QuiesceError.invalidValue) { try event.tryAdd(.max) }
        #expect(throws: QuiesceError.timedOut(of: "the event", occupants: [])) {
            try event.add(1, until: past)
        }
        #expect(try event.take() == EventCounter.maximum)
        #expect(event.readiness == .writable)
    }

    @Test func `a duplicate shares the counter`() throws {
        let event = try EventFD()
        let other = try event.duplicate()
        #expect(event.fileDescriptor != other.fileDescriptor)
        _ = try other.tryAdd(3_735_928_559)
        other.close()
        #expect(try event.take() == 3_735_928_559)
    }

    @Test func `signalling from inside a callback is refused`() throws {
        let event = try EventFD()
        CallbackScope.run {
            #expect(throws: QuiesceError.insideCallback) { try event.signal() }
            #expect(throws: QuiesceError.insideCallback) { try event.add(1) }
        }
        #expect(event.readiness == .writable)
    }

    @Test func `a user's own epoll is told`() throws {
        let event = try EventFD()
        let epoll = quiesce_epoll_create()
        defer { quiesce_descriptor_close(epoll) }
        #expect(quiesce_epoll_control(epoll, 0, event.fileDescriptor, quiesce_readable, 7) == 0)
        try event.signal()
        var found = [quiesce_ready](repeating: quiesce_ready(), count: 64)
        let count = unsafe found.withUnsafeMutableBufferPointer {
            unsafe quiesce_epoll_wait(epoll, $0.baseAddress!)
        }
        #expect(count == 1)
        #expect(found[0].data == 7)
    }

    // MARK: Waiting

    /// Starts a thread that takes, and returns what it took.
    private func taken(_ event: EventFD, whenWaiting act: () throws -> Void) throws -> Result<
        UInt64, QuiesceError
    >? {
        let result = Mutex<Result<UInt64, QuiesceError>?>(nil)
        let sleeper = Sleeper()
        let thread = try WorldThread.spawn {
            sleeper.announce()
            let taken = Result { () throws(QuiesceError) in try event.take() }
            result.withLock { $0 = taken }
        }
        sleeper.waitUntilAsleep()
        try act()
        thread.join()
        return result.withLock { $0 }
    }

    @Test func `a blocked take goes on when another thread adds`() throws {
        let event = try EventFD()
        #expect(try taken(event) { try event.add(5) } == .success(5))
    }

    @Test func `a blocked take goes on when somebody writes to the descriptor`() throws {
        let event = try EventFD()
        let result = try taken(event) {
            var nine: UInt64 = 9
            #expect(unsafe write(event.fileDescriptor, &nine, 8) == 8)
        }
        #expect(result == .success(9))
    }

    @Test func `a blocked take goes on when a duplicate adds`() throws {
        let event = try EventFD()
        let other = try event.duplicate()
        #expect(try taken(event) { try other.signal() } == .success(1))
    }

    @Test func `closing ends a blocked take`() throws {
        let event = try EventFD()
        #expect(try taken(event) { event.close() } == .failure(.closed("the event")))
        event.close()
        #expect(event.fileDescriptor == -1)
        #expect(event.readiness == .closed)
        #expect(throws: QuiesceError.closed("the event")) { try event.tryTake() }
        #expect(throws: QuiesceError.closed("the event")) { try event.take() }
        #expect(throws: QuiesceError.closed("the event")) { try event.signal() }
        #expect(throws: QuiesceError.closed("the event")) { try event.add(1) }
        #expect(throws: QuiesceError.closed("the event")) { try event.duplicate() }
    }

    @Test func `a deadline ends a take, and the next one waits again`() throws {
        let event = try EventFD()
        #expect(throws: QuiesceError.timedOut(of: "the event", occupants: [])) {
            try event.take(until: past)
        }
        #expect(throws: QuiesceError.timedOut(of: "the event", occupants: [])) {
            try event.take(until: WorldClock.now() + .milliseconds(2))
        }
        #expect(try taken(event) { try event.signal() } == .success(1))
    }

    @Test func `an add waits until there is room for all of it`() throws {
        let event = try EventFD(isSemaphore: true)
        _ = try event.tryAdd(EventCounter.maximum)
        let sleeper = Sleeper()
        let isAdded = Atomic(false)
        let thread = try WorldThread.spawn {
            sleeper.announce()
            do { try event.add(3) } catch { return }
            isAdded.store(true, ordering: .releasing)
        }
        for _ in 0..<2 {
            sleeper.waitUntilAsleep()
            // Room for 1, for 2: poll says writable, and it is not enough.
            #expect(try event.take() == 1)
        }
        sleeper.waitUntilAsleep()
        #expect(isAdded.load(ordering: .acquiring) == false)
        #expect(try event.take() == 1)
        thread.join()
        #expect(isAdded.load(ordering: .acquiring) == true)
    }

    @Test func `two players post and wait for each other`() throws {
        let events = [try EventFD(isSemaphore: true), try EventFD(isSemaphore: true)]
        try together(2) { index in
            let (mine, other) = (events[index], events[1 - index])
            do {
                for amount in [1, 1, 5] as [UInt64] {
                    try mine.add(amount)
                    for _ in 0..<amount { try #require(try other.take() == 1) }
                }
            } catch {
                Issue.record(error)
            }
        }
        #expect(try events.map { try $0.tryTake() } == [nil, nil])
    }

    // MARK: Tasks

    @Test func `a suspended take goes on when somebody adds`() async throws {
        let event = try EventFD()
        async let taken = event.take()
        try await event.add(4)
        #expect(try await taken == 4)
    }

    @Test func `a suspended take goes on when somebody writes to the descriptor`() async throws {
        let event = try EventFD()
        let task = Task { try await event.take() }
        await untilWaiting(event, 1)
        var nine: UInt64 = 9
        #expect(unsafe write(event.fileDescriptor, &nine, 8) == 8)
        #expect(try await task.value == 9)
        #expect(event.isIdle)
    }

    @Test func `cancelling ends a suspended take and leaves nothing behind`() async throws {
        let event = try EventFD()
        let task = Task { try await event.take() }
        await untilWaiting(event, 1)
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(event.isIdle)
        try event.signal()
        #expect(try event.tryTake() == 1)
    }

    @Test func `a deadline ends a suspended take`() async throws {
        let event = try EventFD()
        await #expect(throws: QuiesceError.timedOut(of: "the event", occupants: [])) {
            try await event.take(until: WorldClock.now() + .milliseconds(2))
        }
        await #expect(throws: QuiesceError.timedOut(of: "the event", occupants: [])) {
            try await event.take(until: past)
        }
        #expect(event.isIdle)
    }

    @Test func `closing ends the waits of threads and tasks`() async throws {
        let event = try EventFD()
        let tasks = (0..<3).map { _ in Task { try await event.take() } }
        let thread = try WorldThread.spawn {
            #expect(throws: QuiesceError.closed("the event")) { try event.take() }
        }
        await untilWaiting(event, 4)
        event.close()
        for task in tasks {
            await #expect(throws: QuiesceError.closed("the event")) { try await task.value }
        }
        join(thread)
        #expect(event.isIdle)
    }

    @Test func `a suspended add goes on when there is room`() async throws {
        let event = try EventFD()
        _ = try event.tryAdd(EventCounter.maximum)
        let task = Task { try await event.add(2) }
        await untilWaiting(event, 1)
        #expect(try event.tryTake() == EventCounter.maximum)
        try await task.value
        #expect(try event.tryTake() == 2)
        #expect(event.isIdle)
    }

    // MARK: Forking

    @Test func `a forked child shares the counter and waits by itself`() async {
        await #expect(processExitsWith: .success) {
            let event = try EventFD(isSemaphore: true)
            let sleeper = Sleeper()
            let thread = try WorldThread.spawn {
                sleeper.announce()
                let taken = try? event.take()
                precondition(taken == 1)
            }
            sleeper.waitUntilAsleep()
            let status = forkedChild {
                guard (try? event.take(until: WorldClock.Instant(nanoseconds: 1))) == nil else {
                    _exit(2)
                }
                guard (try? WorldThread.spawn { _ = try? event.tryAdd(2) }) != nil else { _exit(3) }
                guard (try? event.take()) == 1 else { _exit(4) }
            }
            precondition(status == 0, "\(String(describing: status))")
            // The other one of the two that the child added.
            join(thread)
        }
    }

    // MARK: Explored

    private static let signalling: Program = { world in
        guard let event = try? EventFD() else { return expect(false, "refused") }
        world.thread("taker") { expect((try? event.take()) == 1) }
        world.thread("signaller") { expect((try? event.signal()) == true) }
        world.afterwards { expect(event.isIdle, "an interest is left") }
    }

    @Test func `a signal is never missed`() throws {
        try verify("signaller and taker", Self.signalling)
    }

    private static let twoTakers: Program = { world in
        guard let event = try? EventFD(isSemaphore: true) else { return expect(false, "refused") }
        for name in ["one", "other"] { world.thread(name) { expect((try? event.take()) == 1) } }
        world.thread("adder") { expect((try? event.tryAdd(2)) == true) }
        world.afterwards { expect(event.isIdle, "an interest is left") }
    }

    @Test func `two takers share one interest`() throws { try verify("two takers", Self.twoTakers) }

    private static let late: Program = { world in
        guard let event = try? EventFD() else { return expect(false, "refused") }
        world.thread("taker") {
            // In an exploration the deadline may pass at any time.
            let taken = try? event.take(until: WorldClock.now() + .seconds(1))
            expect(taken == 1 || taken == nil && event.takers.waitingCount == 0)
            if taken == nil { expect((try? event.take()) == 1, "the signal was lost") }
        }
        world.thread("signaller") { _ = try? event.signal() }
        world.afterwards { expect(event.isIdle, "an interest is left") }
    }

    @Test func `a deadline loses no signal`() throws { try verify("late", Self.late) }

    private static let closing: Program = { world in
        guard let event = try? EventFD() else { return expect(false, "refused") }
        world.thread("taker") {
            do throws(QuiesceError) {
                _ = try event.take()
                expect(false, "there is nothing to take")
            } catch {
                expect(error == .closed("the event"), "\(error)")
            }
        }
        world.thread("closer") { event.close() }
        world.afterwards {
            expect(event.readiness == .closed)
            expect(event.isIdle, "an interest is left")
        }
    }

    @Test func `closing ends a wait, whenever it comes`() throws {
        try verify("closer and taker", Self.closing)
    }

    static let mutants: [Mutant] = [
        Mutant(
            signalling, "Waiters.swift", "count.load(ordering: .sequentiallyConsistent)", .sees(0)),
        Mutant(signalling, "Waiters.swift", "count.wrappingAdd(1", .skipped),
        Mutant(signalling, "Waiters.swift", "var waitingCount", .sees(1)),
        Mutant(twoTakers, "Waiters.swift", "var waitingCount", .sees(0)),
        Mutant(closing, "EventFD.swift", "descriptor.read()", .sees(0), of: .load),
        Mutant(closing, "Waiter.swift", "point.wake(1)", .skipped),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }
}

/// Blocks, which a test that awaits may do for a thread that has nothing to wait for any more.
private func join(_ thread: consuming WorldThread) { thread.join() }

extension EventFD {
    /// Whether nobody waits and no interest is left with the poller.
    fileprivate var isIdle: Bool { takers.isIdle && adders.isIdle }
}

/// Lets others run until so many are in line at an event.
private func untilWaiting(_ event: EventFD, _ number: Int) async {
    while event.takers.waitingCount + event.adders.waitingCount < number { await Task.yield() }
}
