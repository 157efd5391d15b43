// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Explorer
import ExploringSupport
import Glibc
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// A semaphore whose waits the pool does not see, for explored programs.
struct ForeignSemaphore: ~Copyable, Sendable {
    private static let machine = ObjectMachine(
        kind: "foreign semaphore", orders: [.acquiring, .releasing],
        step: { operation, _, state in
            switch operation {
            case 0: state.low == 0 ? nil : .init(Bits(low: state.low - 1))
            default: .init(Bits(low: state.low + 1))
            }
        },
        words: { operation, _, name in operation == 0 ? "take \(name)" : "give \(name)" })

    private let word = Atomic<UInt64>(0)

    private func perform(_ operation: UInt8, _ file: StaticString, _ line: UInt) {
        let address = unsafe withUnsafePointer(to: word) { UInt(bitPattern: $0) }
        let result = Self.machine.perform(
            operation, at: address, from: Bits(low: 0), Site(file, line))
        precondition(result != nil, "it works while it is explored")
    }

    func wait(file: StaticString = #filePath, line: UInt = #line) { perform(0, file, line) }
    func signal(file: StaticString = #filePath, line: UInt = #line) { perform(1, file, line) }
}

/// Items that block by other means than the waits of Quiesce.
@Suite struct BlockingTests {
    /// How an item waits for the semaphore.
    typealias Wait = @Sendable (borrowing ForeignSemaphore) -> Void

    static let said: Wait = { semaphore in withBlocking { semaphore.wait() } }
    static let unsaid: Wait = { semaphore in semaphore.wait() }

    private final class Shared: Sendable {
        let semaphore = ForeignSemaphore()
    }

    /// `waiters` items wait for what another one gives.
    ///
    /// - Parameter pool: makes the pool; nil for that of the explored world.
    static func handOver(
        _ pool: (@Sendable () -> WorkerPool)? = nil, waiters: Int = 1, _ wait: @escaping Wait
    ) -> Program {
        { world in
            if let pool { _ = World.current.value(WorkerPool.key) { pool() } }
            let pool = WorkerPool.current
            let (waiting, giving) = (WorkQueue(name: "waiting"), WorkQueue(name: "giving"))
            let (shared, runs) = (Shared(), Runs())
            for index in 0..<waiters {
                _ = waiting.enqueue(name: "waiter \(index)") {
                    wait(shared.semaphore)
                    runs.count()
                }
            }
            _ = giving.enqueue(name: "giver") {
                for _ in 0..<waiters { shared.semaphore.signal() }
            }
            world.afterwards {
                expect(runs.total == waiters, "an item was lost")
                expectSettled(pool)
            }
        }
    }

    /// A worker enters and leaves two sections, one inside another too, while an item arrives.
    static let arrivals: Program = { world in
        let pool = World.current.value(WorkerPool.key) { WorkerPool(size: 1) }
        let (first, second) = (WorkQueue(name: "first"), WorkQueue(name: "second"))
        let runs = Runs()
        _ = first.enqueue(name: "blocking") {
            withBlocking { withBlocking { runs.count() } }
            withBlocking { runs.count() }
        }
        world.thread("other") { _ = second.enqueue(name: "arriving") { runs.count() } }
        world.afterwards {
            expect(runs.total == 3, "an item was lost")
            expectSettled(pool)
        }
    }

    private struct Failure: Error {}

    /// The error leaves the section too.
    static let throwing: Program = { world in
        let pool = World.current.value(WorkerPool.key) { WorkerPool(size: 1) }
        let queue = WorkQueue(name: "queue")
        let runs = Runs()
        _ = queue.enqueue(name: "throwing") {
            do throws(Failure) {
                try withBlocking { () throws(Failure) in throw Failure() }
            } catch { runs.count() }
        }
        _ = queue.enqueue(name: "next") { runs.count() }
        world.afterwards {
            expect(runs.total == 2, "an item was lost")
            expectSettled(pool)
        }
    }

    /// Nobody runs when all is over.
    private static func expectSettled(_ pool: WorkerPool) {
        let census = pool.census
        expect(census.running == 0 && census.idle == census.workers, "\(census)")
    }

    // MARK: Saying it

    static let cases = [
        WorkQueueTests.Case(
            testDescription: "an item waits for another, on a pool of one",
            program: handOver({ WorkerPool(size: 1) }, said)),
        WorkQueueTests.Case(
            testDescription: "sections are entered and left while an item arrives",
            program: arrivals),
        WorkQueueTests.Case(testDescription: "a section throws", program: throwing),
    ]

    @Test(arguments: cases) func `every interleaving ends well`(_ each: WorkQueueTests.Case) throws
    {
        for granularity in [ExplorationOptions.Granularity.fine, .coarse] {
            try verify(each.testDescription, granularity: granularity) { each.program($0) }
        }
    }

    @Test func `two items wait for a third, on the pool of two`() throws {
        let program = Self.handOver(waiters: 2, Self.said)
        try verify("two wait for a third", preemptions: 1, granularity: .coarse) { program($0) }
    }

    /// An explored pool has no rescuer.
    @Test func `a pool whose workers all wait unseen is a deadlock`() throws {
        try expectDeadlock(Self.handOver({ WorkerPool(size: 1) }, Self.unsaid))
        try expectDeadlock(Self.handOver(waiters: 2, Self.unsaid))
    }

    /// A section is over, and its worker runs the next item.
    private static func after(_ section: @escaping @Sendable () -> Void) -> Program {
        { world in
            let pool = World.current.value(WorkerPool.key) { WorkerPool(size: 1) }
            let queue = WorkQueue(name: "queue", .ordered)
            _ = queue.enqueue(name: "section", section)
            _ = queue.enqueue(name: "next") {
                expect(pool.census.running == 1, "the worker runs, and does not count")
            }
        }
    }

    /// What the pool relies on: both ends of a section are told.
    @Test func `a section of which one end is not told is noticed`() throws {
        let whole = Self.after { withBlocking {} }
        try verify("both ends") { whole($0) }
        let beginning = Self.after { Worker.running!.blocks() }
        #expect(try Exploration("the beginning alone", beginning).run().failed > 0)
        try expectDeadlock(
            Self.handOver({ WorkerPool(size: 1) }) { semaphore in
                Worker.running!.goesOn()
                withBlocking { semaphore.wait() }
            })
    }

    @Test func `outside a worker it only calls the function`() {
        #expect(withBlocking { 7 } == 7)
        #expect(throws: Failure.self) { try withBlocking { () throws(Failure) in throw Failure() } }
    }

    // MARK: Limits

    @Test func `a pool starts no more threads than it may`() throws {
        let program = Self.handOver({ WorkerPool(size: 1, threadLimit: 1) }, Self.said)
        try expectDeadlock(program)
        let enough = Self.handOver({ WorkerPool(size: 1, threadLimit: 2) }, Self.said)
        try verify("as many threads as it takes") { enough($0) }
    }

    @Test func `surplus workers end when they have had nothing to do`() throws {
        try verifyInTime("sections, then quiet", executions: 200) { world in
            let queue = WorkQueue(name: "queue")
            let held = (0..<5).map { _ in Held() }
            for each in held { _ = queue.enqueue { withBlocking { each.run() } } }
            for each in held { each.waitUntilStarted() }
            expect(queue.pool.census.workers >= 5)
            for each in held { each.release() }
            sure { try queue.flush() }
            WorldClock.sleep(for: .seconds(301))
            let census = queue.pool.census
            expect(census.workers == 2 && census.idle == 2, "\(census)")
        }
    }

    // MARK: Rescuing

    private static func rescued(_ waiters: Int, _ wait: @escaping Wait) -> Program {
        handOver({ WorkerPool(size: 1, rescueDelay: .seconds(1)) }, waiters: waiters, wait)
    }

    @Test func `a rescuer runs what stuck items wait for, and counts them again when they end`()
        throws
    {
        for waiters in 1...2 {
            let program = Self.rescued(waiters, Self.unsaid)
            try verifyInTime("rescued") { program($0) }
        }
    }

    /// The looks of the rescuer, at any moment of a worker's.
    static let looks: Program = { world in
        let pool = World.current.value(WorkerPool.key) {
            WorkerPool(size: 1, rescueDelay: .seconds(1))
        }
        let (first, second) = (WorkQueue(name: "first"), WorkQueue(name: "second"))
        let runs = Runs()
        _ = first.enqueue(name: "blocking") { withBlocking { runs.count() } }
        _ = second.enqueue(name: "other") { runs.count() }
        world.thread("looker") { for _ in 0..<2 { _ = pool.rescue() } }
        world.afterwards {
            expect(runs.total == 2, "an item was lost")
            expectSettled(pool)
        }
    }

    @Test func `whenever a rescuer looks, nothing is lost and no worker is miscounted`() throws {
        try verifyInTime("looks", granularity: .fine) { Self.looks($0) }
    }

    /// What was stuck counts again when it has ended.
    static let countedAgain: Program = { world in
        let pool = World.current.value(WorkerPool.key) {
            WorkerPool(size: 1, rescueDelay: .seconds(1))
        }
        let (waiting, giving) = (WorkQueue(name: "waiting", .ordered), WorkQueue(name: "giving"))
        let shared = Shared()
        _ = waiting.enqueue(name: "waiter") { shared.semaphore.wait() }
        _ = waiting.enqueue(name: "next") {
            let census = pool.census
            expect(census.running == census.workers - census.idle, "\(census)")
        }
        _ = giving.enqueue(name: "giver") { shared.semaphore.signal() }
    }

    @Test func `a worker that was stuck counts again`() throws {
        try verifyInTime("counted again") { Self.countedAgain($0) }
    }

    /// The rescuer has had nothing to do in between, and sleeps.
    static let rescuedTwice: Program = { world in
        _ = World.current.value(WorkerPool.key) { WorkerPool(size: 1, rescueDelay: .seconds(1)) }
        let (waiting, giving) = (WorkQueue(name: "waiting"), WorkQueue(name: "giving"))
        let shared = Shared()
        for _ in 0..<2 {
            _ = waiting.enqueue(name: "waiter") { shared.semaphore.wait() }
            _ = giving.enqueue(name: "giver") { shared.semaphore.signal() }
            for queue in [waiting, giving] { sure { try queue.flush() } }
            WorldClock.sleep(for: .seconds(2))
        }
    }

    @Test func `a rescuer that sleeps is called`() throws {
        try verifyInTime("rescued twice") { Self.rescuedTwice($0) }
    }

    static let mutants = [
        Mutant(
            rescued(1, unsaid), "WorkerPool+Rescuing.swift", "worker.isWatched.store(true", .skipped
        ),
        Mutant(
            rescued(1, unsaid), "Rescuer.swift", "point.word.add(1, ordering: .releasing)",
            .skipped),
        Mutant(rescuedTwice, "Rescuer.swift", "point.wake(1)", .skipped),
        Mutant(
            countedAgain, "WorkerPool+Rescuing.swift", "rescuer != nil, worker.isWatched.load",
            .sees(0)),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant, time: .discrete)
    }

    @Test func `as many stuck items as processors do not stop the other queues`() async {
        await #expect(processExitsWith: .success) {
            let count = World.current.processorCount
            let queues = [
                WorkQueue(name: "stuck"), WorkQueue(name: "urgent", priority: .high),
                WorkQueue(name: "normal"),
            ]
            let semaphore = DispatchSemaphore(value: 0)
            for _ in 0..<2 * count { _ = queues[0].enqueue { semaphore.wait() } }
            for queue in queues[1...] {
                _ = queue.enqueue { for _ in 0..<count { semaphore.signal() } }
            }
            for queue in queues { try await queue.flush(until: WorldClock.now() + .seconds(60)) }
            waitUntil { queues[0].pool.census.running == 0 }
        }
    }

    @Test func `items that read from a pipe which a later one fills end`() async {
        await #expect(processExitsWith: .success) {
            let (pipe, count) = (Pipe(), World.current.processorCount)
            let (stuck, writing) = (WorkQueue(name: "stuck"), WorkQueue(name: "writing"))
            let started = Atomic(0)
            for _ in 0..<count {
                _ = stuck.enqueue {
                    started.add(1, ordering: .relaxed)
                    pipe.read()
                }
            }
            waitUntil { started.load(ordering: .relaxed) == count }
            _ = writing.enqueue { for _ in 0..<count { pipe.write() } }
            try await stuck.flush(until: WorldClock.now() + .seconds(60))
            try await writing.close()
        }
    }

    @Test func `an item that says it blocks needs no rescuer`() async {
        await #expect(processExitsWith: .success) {
            let pool = WorkerPool(size: 1)
            _ = World.current.value(WorkerPool.key) { pool }
            let (pipe, queue) = (Pipe(), WorkQueue(name: "queue"))
            for _ in 0..<20 { _ = queue.enqueue { withBlocking { pipe.read() } } }
            _ = queue.enqueue { for _ in 0..<20 { pipe.write() } }
            try await queue.flush(until: WorldClock.now() + .seconds(60))
            waitUntil { pool.census.running == 0 }
        }
    }
}

/// A pipe of bytes that mean nothing.
private final class Pipe: Sendable {
    private let ends: [Int32]

    init() {
        var ends: [Int32] = [-1, -1]
        precondition(unsafe pipe(&ends) == 0)
        self.ends = ends
    }

    func read() {
        var byte: UInt8 = 0
        precondition(unsafe Glibc.read(ends[0], &byte, 1) == 1)
    }

    func write() {
        var byte: UInt8 = 0
        precondition(unsafe Glibc.write(ends[1], &byte, 1) == 1)
    }

    deinit { for end in ends { close(end) } }
}

/// Finds a deadlock and nothing else.
private func expectDeadlock(
    _ program: @escaping Program, location: SourceLocation = #_sourceLocation
) throws {
    var options = ExplorationOptions()
    options.minimizes = false
    let report = try Exploration("deadlock", options: options, program).run()
    #expect(report.failed > 0, sourceLocation: location)
    #expect(report.counterexample?.verdict.kind == .deadlock, sourceLocation: location)
}
