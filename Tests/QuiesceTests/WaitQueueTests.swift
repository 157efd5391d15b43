// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// Permits that threads wait for: a semaphore made of a count and a wait queue.
private final class Permits: Sendable {
    private let count: Atomic<Int>
    let queue = WaitQueue(name: "permits")

    init(_ count: Int = 0) {
        self.count = Atomic(count)
        self.count.label("permits")
    }

    func tryTake() -> Bool {
        var found = count.load(ordering: .sequentiallyConsistent)
        while found > 0 {
            let (isMine, now) = count.compareExchange(
                expected: found, desired: found - 1, ordering: .sequentiallyConsistent)
            if isMine { return true }
            found = now
        }
        return false
    }

    func give() {
        count.wrappingAdd(1, ordering: .sequentiallyConsistent)
        queue.wake(1)
    }

    func take(until deadline: WorldClock.Instant? = nil) -> Bool {
        do {
            try queue.wait(until: deadline) { tryTake() }
            return true
        } catch { return false }
    }
}

@Suite struct WaitQueueTests {
    private static let waking: Program = { world in
        let permits = Permits()
        world.thread("waiter") { expect(permits.take()) }
        world.thread("waker") { permits.give() }
    }

    @Test func `no wake-up is lost`() throws { try verify("waking", Self.waking) }

    private static let passingOn: Program = { world in
        let permits = Permits()
        for name in ["one", "other"] { world.thread(name) { expect(permits.take()) } }
        permits.give()
        permits.give()
    }

    @Test func `a waiter that needs no wake-up passes it on`() throws {
        try verify("passing on", Self.passingOn)
    }

    private static let timed: Program = { world in
        let permits = Permits()
        world.thread("patient") { expect(permits.take()) }
        world.thread("hasty") {
            if permits.take(until: WorldClock.now() + .seconds(1)) { permits.give() }
        }
        permits.give()
    }

    @Test func `a wake-up that meets a passed deadline goes to the next`() throws {
        try verify("timed", Self.timed)
    }

    private static let closing: Program = { world in
        let queue = WaitQueue(name: "queue")
        world.thread("waiter") {
            do throws(QuiesceError) {
                try queue.wait { false }
                expect(false, "nothing was true")
            } catch { expect(error == .closed("queue")) }
        }
        world.thread("closer") { queue.close() }
    }

    @Test func `closing ends every wait`() throws { try verify("closing", Self.closing) }

    static let mutants: [Mutant] = [
        Mutant(waking, "Waiters.swift", "count.load(ordering: .sequentiallyConsistent)", .sees(0)),
        Mutant(waking, "Waiters.swift", "count.wrappingAdd(1", .skipped),
        Mutant(waking, "Waiter.swift", "point.wake(1)", .skipped),
        Mutant(waking, "Waiter.swift", "point.word.compareExchange", .skipped),
        Mutant(
            passingOn, "Waiters.swift", "count.load(ordering: .sequentiallyConsistent)", .sees(0)),
        Mutant(passingOn, "Waiter.swift", "point.word.load(ordering: .acquiring)", .sees(0)),
        Mutant(timed, "Waiters.swift", "count.wrappingAdd(1", .skipped),
        Mutant(timed, "Waiter.swift", "point.wake(1)", .skipped),
        Mutant(closing, "Waiter.swift", "point.wake(1)", .skipped),
        Mutant(closing, "Waiters.swift", "line.withLock { line in", .skipped),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }

    // MARK: Tasks

    @Test func `a task waits and is woken`() async throws {
        let permits = Permits()
        let waiter = Task { try await permits.queue.wait { permits.tryTake() } }
        permits.give()
        try await waiter.value
    }

    @Test func `a cancelled wait throws and leaves nothing enqueued`() async throws {
        let permits = Permits()
        let waiter = Task { try await permits.queue.wait { permits.tryTake() } }
        while permits.queue.waiters.waitingCount == 0 { await Task.yield() }
        waiter.cancel()
        await #expect(throws: CancellationError.self) { try await waiter.value }
        #expect(permits.queue.waiters.waitingCount == 0, "it is still in the line")
    }

    @Test func `a task's deadline passes`() async throws {
        let queue = WaitQueue()
        await #expect(throws: QuiesceError.timedOut(of: "wait queue", occupants: [])) {
            try await queue.wait(until: WorldClock.now() + .milliseconds(1)) { false }
        }
    }

    @Test func `closing ends the waits of tasks, those to come as well`() async throws {
        let queue = WaitQueue()
        let waiter = Task { try await queue.wait { false } }
        queue.close()
        await #expect(throws: QuiesceError.closed("wait queue")) { try await waiter.value }
        await #expect(throws: QuiesceError.closed("wait queue")) { try await queue.wait { false } }
        try await queue.wait { true }
    }
}
