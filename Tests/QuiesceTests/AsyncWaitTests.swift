// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// The async waits of every primitive: woken, cancelled, timed out and closed against each other.
/// Whatever comes first, the wait ends once, in a way that fits, and nothing of it is left behind.
@Suite struct AsyncWaitTests {
    /// What ends a wait.
    enum Ender: String, CaseIterable, CustomTestStringConvertible {
        case wake, close, cancel, deadline
        var testDescription: String { rawValue }
    }

    /// Each pair of different ones, and each alone.
    static let pairs: [[Ender]] = Ender.allCases.flatMap { first in
        [[first]] + Ender.allCases.drop { $0 != first }.dropFirst().map { [first, $0] }
    }

    private static func deadline(_ enders: [Ender]) -> WorldClock.Instant? {
        enders.contains(.deadline) ? WorldClock.now() + .seconds(1) : nil
    }

    // MARK: WaitQueue

    private final class Waiting: Sendable {
        let queue = WaitQueue(name: "queue")
        let flag = Atomic(false)

        init() { flag.label("flag") }

        func end(_ ender: Ender, _ task: Task<String, Never>) {
            switch ender {
            case .wake:
                flag.store(true, ordering: .sequentiallyConsistent)
                queue.wake()
            case .close: queue.close()
            case .cancel: task.cancel()
            case .deadline: break
            }
        }
    }

    /// How a wait ended that threw, in a word.
    private static func ending(_ error: any Error) -> String {
        switch error {
        case is CancellationError: "cancelled"
        case QuiesceError.timedOut: "timedOut"
        case QuiesceError.closed: "closed"
        default: "\(error)"
        }
    }

    /// A task waits in a queue until one of `enders` ends that.
    @Sendable private static func wait(_ enders: [Ender]) async {
        let waiting = Waiting()
        let deadline = deadline(enders)
        let task = Task(name: "waiter") {
            do {
                try await waiting.queue.wait(until: deadline) {
                    waiting.flag.load(ordering: .sequentiallyConsistent)
                }
                return waiting.flag.load(ordering: .sequentiallyConsistent)
                    ? "woken" : "woken too early"
            } catch {
                return Self.ending(error)
            }
        }
        for ender in enders {
            Task(name: ender.rawValue) { waiting.end(ender, task) }
        }
        let outcome = await task.value
        let possible = enders.map {
            ["woken", "closed", "cancelled", "timedOut"][Ender.allCases.firstIndex(of: $0)!]
        }
        expect(possible.contains(outcome), "the wait ended as \(outcome)")
        expect(waiting.queue.waiters.waitingCount == 0, "something is left in the line")
    }

    @Test(arguments: pairs) func `a task waits in a queue`(_ enders: [Ender]) async throws {
        try await verifyTasks("a wait that ends by \(enders)") { _ in await Self.wait(enders) }
    }

    // MARK: Mutants

    static let mutations: [(enders: [Ender], mutation: Mutation)] = [
        (
            [.wake],
            Mutation("Waiters.swift", "count.load(ordering: .sequentiallyConsistent)", .sees(0))
        ),
        ([.wake], Mutation("Waiters.swift", "count.wrappingAdd(1", .skipped)),
        (
            [.wake],
            Mutation(
                "Waiter.swift", "let (isSuspended, _) = point.word.compareExchange", .unconditional)
        ),
        (
            [.wake],
            Mutation("Waiter.swift", "let (isMine, found) = point.word.compareExchange", .skipped)
        ),
        (
            [.wake, .cancel],
            Mutation(
                "Waiter.swift", "let (isMine, found) = point.word.compareExchange", .unconditional)
        ),
        (
            [.wake, .cancel],
            Mutation(
                "Waiter.swift", "let (isSuspended, _) = point.word.compareExchange", .unconditional)
        ),
    ]

    @Test(arguments: mutations)
    func `a mistake in an async wait is noticed`(_ enders: [Ender], _ mutation: Mutation)
        async throws
    {
        var options = ExplorationOptions()
        options.reduction = .declared
        options.mutation = mutation
        options.minimizes = false
        options.stepLimit = 1_000
        options.executionLimit = 20_000
        let settled = options
        let report = try await Task.detached {
            try Exploration("mutant", options: settled) { _ in await Self.wait(enders) }.run()
        }.value
        #expect(report.mutations > 0, "no operation is there to change")
        #expect(report.failed > 0, "nobody noticed in \(report.executions) executions")
    }

    @Test func `a thread wakes a task`() async throws {
        try await verifyTasks("a thread wakes a task") { world in
            let waiting = Waiting()
            world.thread("waker") {
                waiting.flag.store(true, ordering: .sequentiallyConsistent)
                waiting.queue.wake()
            }
            do {
                try await waiting.queue.wait {
                    waiting.flag.load(ordering: .sequentiallyConsistent)
                }
            } catch {
                expect(false, "\(error)")
            }
        }
    }

    @Test func `a wake-up that a cancelled task was given goes to the next`() async throws {
        try await verifyTasks("a wake-up is handed on", preemptions: 2) { _ in
            let counter = EventCounter(isSemaphore: true)
            let first = Task(name: "first") { try? await counter.take() }
            let second = Task(name: "second") { try? await counter.take() }
            Task(name: "canceller") { first.cancel() }
            do { try counter.signal() } catch { expect(false, "\(error)") }
            if await first.value == nil {
                let taken = await second.value
                expect(taken == 1, "the signal is lost")
            } else {
                second.cancel()
                _ = await second.value
            }
        }
    }

    // MARK: EventCounter

    @Test(arguments: pairs) func `a task takes`(_ enders: [Ender]) async throws {
        try await verifyTasks("a take that ends by \(enders)") { _ in
            let counter = EventCounter()
            let deadline = Self.deadline(enders)
            let task = Task(name: "taker") {
                do { return "\(try await counter.take(until: deadline))" } catch {
                    return Self.ending(error)
                }
            }
            for ender in enders {
                Task(name: ender.rawValue) {
                    switch ender {
                    case .wake: try? counter.signal()
                    case .close: counter.close()
                    case .cancel: task.cancel()
                    case .deadline: break
                    }
                }
            }
            let outcome = await task.value
            if outcome == "1" {
                expect(enders.contains(.wake) && counter.value == 0)
            } else {
                expect(enders != [.wake], "ended as \(outcome)")
            }
        }
    }

    @Test(arguments: [[Ender.wake], [.cancel], [.deadline], [.wake, .cancel], [.wake, .deadline]])
    func `a task adds to a full counter`(_ enders: [Ender]) async throws {
        try await verifyTasks("an add that ends by \(enders)") { _ in
            let counter = EventCounter(EventCounter.maximum)
            let deadline = Self.deadline(enders)
            let task = Task(name: "adder") {
                do {
                    try await counter.add(5, until: deadline)
                    return true
                } catch {
                    return false
                }
            }
            for ender in enders {
                Task(name: ender.rawValue) {
                    if ender == .wake { expect(counter.tryTake() != nil) }
                    if ender == .cancel { task.cancel() }
                }
            }
            let isAdded = await task.value
            expect(isAdded || enders != [.wake])
            let value = counter.value
            expect(
                value == (isAdded ? 5 : enders.contains(.wake) ? value : EventCounter.maximum),
                "holds \(value)")
        }
    }

    // MARK: EventFD

    @Test(arguments: [[Ender.wake], [.cancel], [.deadline], [.close], [.wake, .cancel]])
    func `a task takes from a descriptor`(_ enders: [Ender]) async throws {
        try await verifyTasks("a take from a descriptor that ends by \(enders)", executions: 2_000)
        { world in
            guard let event = try? EventFD() else { return expect(false, "no descriptor") }
            let deadline = Self.deadline(enders)
            let task = Task(name: "taker") {
                do { return "\(try await event.take(until: deadline))" } catch {
                    return Self.ending(error)
                }
            }
            for ender in enders {
                world.thread(ender.rawValue) {
                    switch ender {
                    case .wake: _ = try? event.tryAdd(1)
                    case .close: event.close()
                    case .cancel: task.cancel()
                    case .deadline: break
                    }
                }
            }
            let outcome = await task.value
            expect(
                outcome == "1" ? enders.contains(.wake) : enders != [.wake], "ended as \(outcome)")
        }
    }

    // MARK: Gate

    @Test(arguments: [[Ender.wake], [.wake, .cancel], [.wake, .deadline]])
    func `a task closes a gate under a thread`(_ enders: [Ender]) async throws {
        try await verifyTasks("a close that ends by \(enders)") { world in
            let shared = Shared()
            world.thread("user") { shared.use() }
            let deadline = Self.deadline(enders)
            let closer = Task(name: "closer") {
                do {
                    try await shared.gate.close(until: deadline)
                    expect(
                        shared.inside.load(ordering: .sequentiallyConsistent) == 0,
                        "somebody is inside")
                    return true
                } catch {
                    return false
                }
            }
            if enders.contains(.cancel) { Task(name: "canceller") { closer.cancel() } }
            let isClosed = await closer.value
            expect(isClosed || enders != [.wake])
            expect(
                shared.gate.withEntry { _ in 0 } == nil,
                "a gate that is being closed lets somebody in")
        }
    }

    private final class Shared: Sendable {
        let gate = Gate(name: "gate")
        let inside = Atomic(0)
        let winners = Atomic(0)

        init() {
            inside.label("inside")
            winners.label("winners")
        }

        func closeFromInside() async {
            await gate.withTaskOwnedEntry { entry in
                do {
                    if let entry = try await entry.closeFromInside() {
                        winners.wrappingAdd(1, ordering: .relaxed)
                        entry.leave()
                    } else {
                        expect(
                            winners.load(ordering: .relaxed) == 1,
                            "the loser was let go before the winner")
                    }
                } catch {
                    expect(false, "\(error)")
                }
            }
        }

        func use() {
            gate.withEntry { _ in
                inside.wrappingAdd(1, ordering: .sequentiallyConsistent)
                inside.wrappingSubtract(1, ordering: .sequentiallyConsistent)
            }
        }
    }

    @Test func `two tasks close`() async throws {
        try await verifyTasks("two tasks close", executions: 10_000) { _ in
            let shared = Shared()
            let user = Task(name: "user") {
                await shared.gate.withTaskEntry { _ in await Task.yield() }
            }
            async let first: Void = shared.gate.close()
            async let second: Void = shared.gate.close()
            _ = try await (first, second)
            _ = await user.value
        }
    }

    @Test func `a task closes from inside`() async throws {
        try await verifyTasks("a task closes from inside", executions: 10_000) { _ in
            let shared = Shared()
            async let first: Void = shared.closeFromInside()
            async let second: Void = shared.closeFromInside()
            _ = await (first, second)
            let winners = shared.winners.load(ordering: .relaxed)
            expect(winners == 1 || winners == 2, "\(winners) winners")
        }
    }

    // MARK: Revocable, Subscription

    private final class Calls: Sendable {
        let counter = EventCounter()
        let running = Atomic(0)

        init() { running.label("running") }

        func subscribe() -> Subscription? {
            try? counter.subscribe { [running = Running(self)] _ in running.call() }
        }

        /// The callback's part, which the counter keeps without keeping the counter.
        private final class Running: Sendable {
            unowned let calls: Calls
            init(_ calls: Calls) { self.calls = calls }
            func call() {
                calls.running.wrappingAdd(1, ordering: .sequentiallyConsistent)
                calls.running.wrappingSubtract(1, ordering: .sequentiallyConsistent)
            }
        }
    }

    @Test func `a task revokes`() async throws {
        try await verifyTasks("a task revokes", executions: 10_000) { world in
            let value = Revocable(7)
            world.thread("user") { _ = value.withValue { expect($0 == 7) } }
            async let first = try? value.close()
            async let second = try? value.close()
            let (one, other) = await (first, second)
            expect([one, other].count { $0 == true } == 1, "revoked by \([one, other])")
        }
    }

    @Test(arguments: [[Ender.wake], [.wake, .cancel], [.wake, .deadline]])
    func `a task detaches under a running callback`(_ enders: [Ender]) async throws {
        try await verifyTasks("a detach that ends by \(enders)", preemptions: 2) { world in
            let calls = Calls()
            guard let notifier = calls.subscribe() else { return expect(false) }
            world.thread("signaller") { try? calls.counter.signal() }
            let deadline = Self.deadline(enders)
            let detacher = Task(name: "detacher") {
                do {
                    try await notifier.close(until: deadline)
                    expect(
                        calls.running.load(ordering: .sequentiallyConsistent) == 0,
                        "a callback runs after detach")
                    return true
                } catch {
                    return false
                }
            }
            if enders.contains(.cancel) { Task(name: "canceller") { detacher.cancel() } }
            let isDetached = await detacher.value
            expect(isDetached || enders != [.wake])
        }
    }
}
