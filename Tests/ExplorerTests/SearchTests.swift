// SPDX-License-Identifier: Apache-2.0

import Explorer
import Fuzzing
import Quiesce
import Substrate
import Synchronization
import Testing

/// Programs of which the optimal strategy once missed outcomes, or ran executions in vain.
@Suite struct SearchTests {
    /// What the strategies come to, which is the same: every outcome, in every order of
    /// declaration, with no execution in vain.
    private func agree(
        _ threads: [ThreadProgram.Step]..., isLabelled: Bool = true, reusesAddresses: Bool = false,
        isDiscrete: Bool = false,
        location: SourceLocation = #_sourceLocation
    ) -> FuzzRun {
        var last: FuzzRun?
        for order in permutations(threads) {
            var program = ThreadProgram(threads: order)
            program.isLabelled = isLabelled
            program.reusesAddresses = reusesAddresses
            program.isDiscrete = isDiscrete
            let (difference, optimal, reference) = FuzzDifference.find(program, limit: 200_000)
            #expect(
                difference == nil, "\(program): \(difference?.description ?? "")",
                sourceLocation: location)
            #expect(
                reference.isComplete && optimal.isComplete, "\(program)", sourceLocation: location)
            #expect(optimal.blocked == 0 || reusesAddresses, "\(program)", sourceLocation: location)
            last = optimal
        }
        return last!
    }

    private func permutations<Element>(_ elements: [Element]) -> [[Element]] {
        guard elements.count > 1 else { return [elements] }
        return elements.indices.flatMap { index in
            var rest = elements
            let first = rest.remove(at: index)
            return permutations(rest).map { [first] + $0 }
        }
    }

    private func isLost(_ run: FuzzRun) -> Bool {
        run.outcomes.contains { $0.hasPrefix("lost wake-up") }
    }

    private let wait = ThreadProgram.Step.park(0, 0, seconds: 0)
    private let wake = ThreadProgram.Step.wake(0, 1)

    // MARK: Wake-ups that come earlier

    @Test func `a wake-up that comes earlier wakes another waiter`() {
        #expect(isLost(agree([wait, wake], [wait, wake], [wake])))
        #expect(isLost(agree([wait], [wake, wait], [wait, .store(0, 1)])))
        // With another word, and with deadlines.
        #expect(
            isLost(agree([wait, wake], [wait, .wake(1, 1)], [wake, .park(1, 0, seconds: 0)])))
        _ = agree([.park(0, 0, seconds: 1), wake], [wait, wake], [wake])
        _ = agree([wait], [.park(0, 0, seconds: 2)], [wake])
    }

    @Test func `a park that found another value might have waited`() {
        #expect(isLost(agree([wait], [.setPoint(0, 1)], [wake])))
        // What conflicts with the park where it waits comes after it where it does not.
        #expect(isLost(agree([wait, wake], [.setPoint(0, 1)], [wake])))
        #expect(isLost(agree([wait, .wake(0, .max)], [.setPoint(0, 1)], [.wake(0, .max), wake])))
        _ = agree([.park(0, 0, seconds: 1), wake], [.setPoint(0, 1)], [wake])
    }

    // MARK: Threads before their first step

    /// The values that the reader of `b` may see.
    private func seen(
        _ strategy: ExplorationOptions.Strategy, holdsReference: Bool, _ order: Bool
    ) throws -> (values: Set<String>, blocked: Int) {
        let values = Collected<String>()
        var options = ExplorationOptions(strategy: strategy)
        options.stopsAtFirstFailure = false
        let report = try Exploration("early", options: options) { world in
            let (a, b) = (Word("a"), Word("b"))
            let object = Counted()
            let reference = holdsReference ? Reference(object) : nil
            let first = Handed(reference)
            let starts: [() -> Void] = [
                {
                    let d = try? WorldThread.spawn(name: "d") {
                        _ = a.value.exchange(1, ordering: .relaxed)
                        let e = try? WorldThread.spawn(name: "e") {
                            b.value.store(1, ordering: .relaxed)
                        }
                        let seen = b.value.load(ordering: .relaxed)
                        values.insert("\(seen)")
                        e?.join()
                    }
                    d?.join()
                },
                {
                    world.thread("t") {
                        _ = try? WorldThread.spawn(name: "other") {
                            _ = a.value.exchange(2, ordering: .relaxed)
                        }
                    }
                },
            ]
            for start in order ? starts : starts.reversed() { start() }
            first.take()?.drop()
        }.run()
        #expect(report.failed == 0 && report.coverage == .all, "\(report)")
        return (values.all, report.blocked)
    }

    /// What executions came to, each once.
    private final class Collected<Value: Hashable & Sendable>: Sendable {
        private let values = Synchronization.Mutex(Set<Value>())
        func insert(_ value: Value) { values.withLock { _ = $0.insert(value) } }
        var all: Set<Value> { values.withLock { $0 } }
    }

    private final class Box<Value: AtomicInteger & Sendable>: Sendable {
        let value = Substrate.Atomic<Value>(0)
    }

    private final class Last: @unchecked Sendable {
        // Unchecked: all threads of an execution are fibers of one thread of the system.
        var value = 0
    }

    private final class Point: Sendable {
        let value = WaitPoint()
        init() { value.label("point") }
    }

    private final class Order: Sendable {
        private let values = Synchronization.Mutex<[Int]>([])
        func append(_ value: Int) { values.withLock { $0.append(value) } }
        var all: [Int] { values.withLock { $0 } }
    }

    private final class Word: Sendable {
        let value = Atomic(0)
        init(_ name: String) { value.label(name) }
    }

    private final class Counted: ReferenceCounted {
        let referenceCount = ReferenceCount()
        func release() {}
    }

    private final class Handed: @unchecked Sendable {
        // Unchecked: all threads of an execution are fibers of one thread of the system.
        private var reference: Reference<Counted>?
        init(_ reference: consuming Reference<Counted>?) { self.reference = reference }
        func take() -> Reference<Counted>? { reference.take() }
    }

    @Test(arguments: [false, true], [false, true])
    func `a thread that starts or joins another before its first step hands on what it was given`(
        holdsReference: Bool, order: Bool
    ) throws {
        for strategy in [ExplorationOptions.Strategy.depthFirst, .optimal] {
            let (values, blocked) = try seen(strategy, holdsReference: holdsReference, order)
            #expect(values == ["0", "1"] && blocked == 0, "\(strategy)")
        }
    }

    @Test func `threads without steps start and join threads`() {
        _ = agree(
            [.spawn([.compare(1, 0)], joins: false)],
            [.store(1, 1), .spawn([.spawn([.store(0, 1), .load(0)], joins: false)], joins: false)])
        _ = agree(
            [.write(prefersReaders: false)],
            [
                .tryRead(prefersReaders: false),
                .spawn([.spawn([.load(0)], joins: true)], joins: true),
            ])
        _ = agree(
            [.tried(0)],
            [.nested(0, 0), .spawn([.spawn([.add(0), .add(0)], joins: true)], joins: false)])
    }

    // MARK: Memory that comes back

    @Test func `an address that comes back is found`() {
        _ = agree([.load(0), .allocate], [.free(1)], reusesAddresses: true)
        _ = agree([.allocate], [.use(0)], [.free(0), .use(0)], reusesAddresses: true)
        _ = agree([.allocate, .free(0)], [.free(1)], [.free(1)], reusesAddresses: true)
        // The first thing that a thread does.
        let run = agree([.allocate], [.store(0, 1), .free(0)], reusesAddresses: true)
        #expect(run.outcomes.contains { $0.contains("t0: -1") || $0.contains("t1: -1") })
        #expect(run.outcomes.contains { $0.contains("t0: 0") || $0.contains("t1: 0") })
    }

    /// A thread that reaches for freed memory after it was allocated again finds the new owner's.
    @Test(arguments: [ExplorationOptions.Strategy.optimal, .depthFirst])
    func `a late access is one of what lives at the address now`(
        strategy: ExplorationOptions.Strategy
    ) throws {
        var options = ExplorationOptions(strategy: strategy)
        options.reusesAddresses = true
        options.stopsAtFirstFailure = false
        let ends = Collected<String>()
        let last = Last()
        options.concluded = { ends.insert("\($0?.rawValue ?? "ends") \(last.value)") }
        _ = try Exploration("second life", options: options) { world in
            let first = Storage.allocate(Substrate.Atomic(0), name: "first")
            last.value = -1
            world.thread("late") { first.pointee.add(1, ordering: .relaxed) }
            world.thread("owner") {
                unsafe first.free()
                let second = Storage.allocate(Substrate.Atomic(10), name: "second")
                last.value = second.pointee.load(ordering: .relaxed)
                unsafe second.free()
            }
        }.run()
        // Before the free, in the second life before and after the load; and too late.
        #expect(ends.all.isSuperset(of: ["ends 10", "ends 11"]), "\(ends.all)")
        #expect(ends.all.contains { $0.hasPrefix("use after free") }, "\(ends.all)")
    }

    // MARK: Time

    @Test func `time that passes hides no race`() {
        let run = agree([.sleep(seconds: 1)], [.add(0)], [.add(0)], isDiscrete: true)
        #expect(run.outcomes.count == 2)
        #expect(
            agree([.sleep(seconds: 1), .add(0)], [.sleep(seconds: 1), .add(0)], isDiscrete: true)
                .outcomes.count == 2)
        _ = agree(
            [.wait(0, seconds: 1), .add(0)], [.sleep(seconds: 1), .signal(0)], [.load(0)],
            isDiscrete: true)
        // A reader comes before a writer that waits until time has passed.
        _ = agree(
            [.writeAsleep(seconds: 1)], [.spawn([.writeAsleep(seconds: 1)], joins: false)],
            [.read(prefersReaders: false)], isDiscrete: true)
    }

    /// How many executions a poll of so many rounds takes, beside a thread that makes it end.
    private func poll(_ rounds: Int, _ strategy: ExplorationOptions.Strategy) throws -> Int {
        var options = ExplorationOptions(strategy: strategy)
        options.time = .discrete
        let report = try Exploration("poll", options: options) { world in
            let flag = Word("flag")
            world.thread("poller") {
                for round in 1...rounds {
                    if flag.value.load(ordering: .acquiring) == 1 { break }
                    WorldClock.sleep(
                        until: WorldClock.Instant(
                            nanoseconds: 1_000_000_000 + UInt64(round) * 100_000_000))
                }
            }
            world.thread("setter") { flag.value.store(1, ordering: .releasing) }
        }.run()
        #expect(report.blocked == 0 && report.failed == 0)
        return report.executions
    }

    @Test(arguments: [1, 4, 16]) func `a poll takes as few executions as time is discrete`(
        rounds: Int
    ) throws {
        #expect(try poll(rounds, .optimal) <= poll(rounds, .depthFirst))
        #expect(try poll(rounds, .optimal) <= 4)
    }

    @Test func `tasks that sleep for different durations wake in their order`() async throws {
        for (first, second) in [(1050, 1100), (1100, 1050), (1001, 1002)] {
            for strategy in [ExplorationOptions.Strategy.depthFirst, .optimal] {
                for time in [ExplorationOptions.Time.any, .discrete] {
                    let orders = Collected<[Int]>()
                    var options = ExplorationOptions(strategy: strategy)
                    options.time = time
                    let settled = options
                    _ = try await Task.detached {
                        try Exploration("sleepers", options: settled) { _ in
                            let order = Order()
                            await withTaskGroup { group in
                                for duration in [first, second] {
                                    group.addTask {
                                        try? await Task.sleep(for: .milliseconds(duration))
                                        order.append(duration)
                                    }
                                }
                            }
                            orders.insert(order.all)
                        }.run()
                    }.value
                    let expected: Set =
                        time == .discrete
                        ? [[first, second].sorted()] : [[first, second], [second, first]]
                    #expect(orders.all == expected, "\(strategy) \(time)")
                }
            }
        }
    }

    @Test func `the clocks of tasks stand still while they are explored`() async throws {
        let report = try await Task.detached {
            try Exploration("clocks") { _ in
                let start = ContinuousClock.now
                try await Task.sleep(for: .microseconds(1_234_567))
                expect(start.duration(to: .now) == .microseconds(1_234_567))
            }.run()
        }.value
        #expect(report.failed == 0)
    }

    // MARK: None in vain

    @Test func `no execution is run in vain`() {
        _ = agree(
            [.wait(0, seconds: 0)], [.wait(0, seconds: 1)], [.signal(0)], [.sleep(seconds: 2)])
        // Objects that carry no label.
        _ = agree(
            [.load(0)], [.tryWrite(prefersReaders: false), .read(prefersReaders: true)],
            [.add(0), .tryRead(prefersReaders: false)], isLabelled: false)
        _ = agree(
            [.tried(1)], [.load(0), .spawn([.locked(1, 0)], joins: false)],
            [.read(prefersReaders: true)],
            isLabelled: false)
        _ = agree(
            [.asymmetric(1)], [.wait(0, seconds: 0)], [.barrier, .wait(0, seconds: 0)],
            isLabelled: false)
    }

    @Test func `a store that changes nothing wakes no spinner`() throws {
        let report = try Exploration("silent") { world in
            let flag = Word("flag")
            world.thread("spins") { spin(while: { flag.value.load(ordering: .acquiring) == 0 }) }
            world.thread("stores") {
                flag.value.store(0, ordering: .releasing)
                flag.value.store(1, ordering: .releasing)
            }
        }.run()
        // The spinner looks first before, between or after the stores, and again after the second.
        #expect(report.executions == 3 && report.blocked == 0)
    }

    @Test func `every kind of write wakes a spinner`() throws {
        let writes: [@Sendable (Word) -> Void] = [
            { $0.value.store(1, ordering: .releasing) },
            { $0.value.add(1, ordering: .releasing) },
            { _ = $0.value.exchange(1, ordering: .releasing) },
            { _ = $0.value.compareExchange(expected: 0, desired: 1, ordering: .releasing) },
            { $0.value.storeAsymmetric(1) },
        ]
        for write in writes {
            let report = try Exploration("spins") { world in
                let flag = Word("flag")
                world.thread("spins") {
                    spin(while: { flag.value.load(ordering: .acquiring) == 0 })
                }
                world.thread("writes") { write(flag) }
            }.run()
            #expect(report.executions == 2 && report.failed == 0)
        }
    }

    /// A thread that looks who is inside asks which threads there are.
    @Test(arguments: [ExplorationOptions.Strategy.optimal, .depthFirst])
    func `the start of a thread comes before or after a look at all threads`(
        strategy: ExplorationOptions.Strategy
    ) throws {
        let found = Collected<Bool>()
        _ = try Exploration("starts", options: ExplorationOptions(strategy: strategy)) { world in
            let state = Box<UInt64>()
            world.thread("looks") { found.insert(Presence.isAnyoneInside(0x1000)) }
            world.thread("starts") {
                _ = try? WorldThread.spawn {
                    _ = Presence.enter(
                        0x1000, unless: state.value, has: 1, section: WaitClass(.gate), "section")
                }
            }
        }.run()
        #expect(found.all == [false, true])
    }

    // MARK: Operations as steps

    @Test func `an operation may touch other things where it comes earlier`() {
        for threads: [[PrimitiveProgram.Step]] in [
            [[.destroy], [.isPending0, .flush0], [.flushQueue, .enqueue0]],
            [[.destroy], [.isPending0], [.enqueue0, .cancelAndWait0]],
            [[.drain], [.flushQueue, .enqueue0], [.isPending0, .disable0]],
        ] {
            let (difference, optimal, _) = FuzzDifference.find(
                PrimitiveProgram(threads: threads), limit: 30_000)
            #expect(
                difference == nil && optimal.isComplete,
                "\(threads): \(difference?.description ?? "")")
        }
    }

    /// A primitive whose operations are one step each, and whose part is in reach.
    private final class Cell: Sendable {
        let part = Substrate.Atomic(0)
        private let subject = Subject()

        init() { subject.label("cell") { part.label("part") } }

        func read() -> Int { subject.read("read") { part.load(ordering: .relaxed) } }
        func write(_ body: () -> Void) { subject.write("write") { body() } }
    }

    /// What a thread finds that does `look` while another does `act`; the same in both strategies.
    private func finds(
        _ look: @escaping @Sendable (Cell, Point) -> Int,
        while act: @escaping @Sendable (Cell, Cell, Point) -> Void
    ) throws -> [Set<String>] {
        try [ExplorationOptions.Strategy.optimal, .depthFirst].map { strategy in
            let found = Collected<String>()
            let last = Last()
            var options = ExplorationOptions(strategy: strategy)
            options.stopsAtFirstFailure = false
            options.concluded = { found.insert("\($0?.rawValue ?? "ends") \(last.value)") }
            _ = try Exploration("cells", options: options) { world in
                let (cell, other, point) = (Cell(), Cell(), Point())
                last.value = -1
                world.thread("acts") { act(cell, other, point) }
                world.thread("looks") { last.value = look(cell, point) }
            }.run()
            return found.all
        }
    }

    @Test func `what is done to a part conflicts with operations on the whole`() throws {
        let part = try finds({ cell, _ in cell.part.load(ordering: .relaxed) }) { cell, _, _ in
            cell.write { cell.part.store(1, ordering: .relaxed) }
        }
        let whole = try finds({ cell, _ in cell.read() }) { cell, _, _ in
            cell.part.store(1, ordering: .relaxed)
        }
        // An operation on something else reaches the part.
        let across = try finds({ cell, _ in cell.read() }) { cell, other, _ in
            other.write { cell.part.store(1, ordering: .relaxed) }
        }
        for found in [part, whole, across] {
            #expect(found == [["ends 0", "ends 1"], ["ends 0", "ends 1"]])
        }
    }

    /// The number of an object that carries no label depends on which operation reaches it first.
    @Test func `operations conflict through what they find in their midst`() throws {
        var found: [Set<[Int]>] = []
        for strategy in [ExplorationOptions.Strategy.optimal, .depthFirst] {
            let orders = Collected<[Int]>()
            _ = try Exploration("midst", options: ExplorationOptions(strategy: strategy)) { world in
                let order = Order()
                let cells = (0..<3).map { _ in Cell() }
                let shared = (0..<2).map { _ in Box<Int>() }
                for (number, cell) in cells.enumerated() {
                    world.thread("t\(number)") {
                        cell.write {
                            shared[number % 2].value.add(1, ordering: .relaxed)
                            shared[0].value.add(1, ordering: .relaxed)
                            order.append(number)
                        }
                    }
                }
                world.afterwards { orders.insert(order.all) }
            }.run()
            found.append(orders.all)
        }
        #expect(found[0] == found[1] && found[0].count == 6)
    }

    @Test func `a wait within an operation conflicts with stores, also where it need not wait`()
        throws
    {
        let found = try finds({ cell, point in
            cell.write { point.value.wait(while: 0) }
            return 1
        }) { _, _, point in
            point.value.word.store(1, ordering: .relaxed)
        }
        #expect(found == [["ends 1", "lost wake-up -1"], ["ends 1", "lost wake-up -1"]])
    }

    @Test func `a wake-up within an operation conflicts with waits`() throws {
        let found = try finds({ _, point in
            point.value.wait(while: 0)
            return 1
        }) { cell, _, point in
            cell.write { point.value.wake(1) }
        }
        #expect(found == [["ends 1", "lost wake-up -1"], ["ends 1", "lost wake-up -1"]])
    }

    @Test
    func `an item that is not pending is flushed, and enqueued before the queue is destroyed`() {
        let program = PrimitiveProgram(threads: [
            [.destroy], [.isPending0, .flush0], [.flushQueue, .enqueue0],
        ])
        let run = FuzzRun(program, .optimal)
        #expect(run.isComplete)
        let expected = "t1: i0 pending?: false,flush i0: false, t2: flush: (),enqueue i0: queued,"
        #expect(
            run.outcomes.contains {
                $0.hasPrefix("ends") && $0.contains(expected) && $0.contains("i0: ran")
            })
        // Whatever random executions come to is among them, finely too.
        #expect(
            FuzzRun(program, .random(executions: 800, seed: 5)).outcomes.isSubset(of: run.outcomes))
        #expect(FuzzRun(program, program.finely!).outcomes.isSubset(of: run.outcomes))
    }

    /// Each strategy, with jobs that may share anything and with jobs that share what is declared.
    private var allOptions: [ExplorationOptions] {
        [ExplorationOptions.Strategy.optimal, .depthFirst].flatMap { strategy in
            [ExplorationOptions.Reduction.sound, .declared].map { reduction in
                var options = ExplorationOptions(strategy: strategy)
                options.reduction = reduction
                return options
            }
        }
    }

    /// A thread gives a lock back and resumes a task, which is one step; then two others lock it.
    @Test func `a lock is free after a step that also resumed a task`() async throws {
        for options in allOptions {
            let orders = Collected<[Int]>()
            _ = try await Task.detached {
                try Exploration("hand on", options: options) {
                    world in
                    // With a second task, what jobs share counts.
                    await Task {}.value
                    let order = Order()
                    let lock = Substrate.Mutex<CheckedContinuation<Void, Never>?>(nil)
                    lock.label("lock")
                    await withCheckedContinuation { continuation in
                        lock.withLock { $0 = continuation }
                        world.thread("resumes") {
                            let taken = lock.withLock {
                                order.append(0)
                                return $0.take()
                            }
                            taken?.resume()
                        }
                        for number in 1...2 {
                            world.thread("comes \(number)") {
                                lock.withLock { _ in order.append(number) }
                            }
                        }
                    }
                    world.afterwards { orders.insert(order.all) }
                }.run()
            }.value
            #expect(orders.all.count == 6)
        }
    }

    /// While a task's earlier timer runs, that of a thread does not end.
    @Test func `a timer that is stopped lets later ones end`() async throws {
        for options in allOptions {
            let seen = Collected<Int>()
            let report = try await Task.detached {
                try Exploration("timers", options: options) {
                    world in
                    let word = Word("word")
                    let sleeper = Task { try? await Task.sleep(for: .seconds(1)) }
                    world.thread("cancels") {
                        word.value.store(1, ordering: .relaxed)
                        sleeper.cancel()
                        word.value.store(2, ordering: .relaxed)
                    }
                    world.thread("sleeps") {
                        WorldClock.sleep(until: WorldClock.Instant(nanoseconds: 3_000_000_000))
                        seen.insert(Int(word.value.load(ordering: .relaxed)))
                    }
                    await sleeper.value
                }.run()
            }.value
            #expect(seen.all == [0, 1, 2] && report.defect == nil)
        }
    }

    @Test func `a clock that a thread reads stands before or behind a task's timers`() async throws
    {
        var found: [Set<UInt64>] = []
        for options in allOptions {
            let (early, late) = (Collected<UInt64>(), Collected<UInt64>())
            _ = try await Task.detached {
                try Exploration("clock", options: options) { world in
                    world.thread("looks") {
                        early.insert(WorldClock.now().nanoseconds / 1_000_000_000)
                    }
                    world.thread("sleeps") {
                        WorldClock.sleep(until: WorldClock.Instant(nanoseconds: 4_000_000_000))
                        late.insert(WorldClock.now().nanoseconds / 1_000_000_000)
                    }
                    async let other: Void? = try? Task.sleep(for: .seconds(1))
                    try? await Task.sleep(for: .seconds(6))
                    _ = await other
                }.run()
            }.value
            #expect(early.all.count > 3 && late.all.count > 1)
            found.append(early.all.union(late.all.map { $0 + 100 }))
        }
        #expect(found.allSatisfy { $0 == found[0] }, "\(found)")
    }

    /// All steps conflict with each other, through the clock or as jobs: none is left out.
    @Test func `timers of threads and of tasks end in every order that time allows`() async throws {
        var executions: [Int] = []
        for strategy in [ExplorationOptions.Strategy.optimal, .depthFirst] {
            let report = try await Task.detached {
                try Exploration("timers", options: ExplorationOptions(strategy: strategy)) {
                    world in
                    for seconds: UInt64 in [3, 4] {
                        world.thread("until \(seconds)") {
                            WorldClock.sleep(
                                until: WorldClock.Instant(nanoseconds: seconds * 1_000_000_000))
                        }
                    }
                    try? await Task.sleep(for: .seconds(1))
                }.run()
            }.value
            executions.append(report.executions)
            #expect(report.blocked == 0)
        }
        #expect(executions[0] == executions[1])
    }

    // MARK: Cancellation

    /// What the strategies come to, which is the same.
    private func agree(
        _ tasks: [TaskProgram.Step]..., location: SourceLocation = #_sourceLocation
    ) -> Set<String> {
        var result: Set<String> = []
        for order in permutations(tasks) {
            let (difference, optimal, reference) = FuzzDifference.find(
                TaskProgram(tasks: order), limit: 200_000)
            #expect(
                difference == nil, "\(order): \(difference?.description ?? "")",
                sourceLocation: location)
            #expect(
                optimal.isComplete && reference.isComplete, "\(order)", sourceLocation: location)
            result = optimal.outcomes
        }
        return result
    }

    /// A task makes two stores while another cancels it; the handler reads both.
    private func handled(
        _ strategy: ExplorationOptions.Strategy, byThread: Bool
    ) async throws -> Set<String> {
        let seen = Collected<String>()
        let report = try await Task.detached {
            try Exploration("handler", options: ExplorationOptions(strategy: strategy)) { world in
                let (a, b) = (Word("a"), Word("b"))
                let task = Task {
                    await withTaskCancellationHandler {
                        a.value.store(1, ordering: .relaxed)
                        b.value.store(1, ordering: .relaxed)
                    } onCancel: {
                        let (first, second) = (
                            a.value.load(ordering: .relaxed), b.value.load(ordering: .relaxed)
                        )
                        seen.insert("\(first)\(second)")
                    }
                }
                if byThread {
                    world.thread("canceller") { task.cancel() }
                } else {
                    Task { task.cancel() }
                }
                await task.value
            }.run()
        }.value
        #expect(report.failed == 0 && report.coverage == .all && report.blocked == 0, "\(report)")
        return seen.all
    }

    @Test(arguments: [false, true]) func `a task goes on while its cancellation handler runs`(
        byThread: Bool
    )
        async throws
    {
        for strategy in [ExplorationOptions.Strategy.depthFirst, .optimal] {
            #expect(
                try await handled(strategy, byThread: byThread) == ["00", "01", "10", "11"],
                "\(strategy)")
        }
    }

    @Test func `a cancellation comes at any moment`() {
        let looks = [TaskProgram.Step.isCancelled, .store(0), .isCancelled]
        _ = agree(looks, [.store(1), .cancel(0)])
        // Before both looks, between them, and after.
        let run = FuzzRun(TaskProgram(tasks: [looks, [.store(1), .cancel(0)]]), .optimal)
        #expect(run.outcomes.count == 3, "\(run.outcomes)")
        _ = agree([.handled([.store(0), .store(1)])], [.cancel(0)])
        _ = agree([.handled([.store(0)]), .isCancelled], [.thread([.cancel(0)])])
    }

    /// The first of two that cancel calls the handler.
    @Test func `either of two threads may be the one that cancels`() async throws {
        for options in allOptions {
            let callers = Collected<UInt32>()
            _ = try await Task.detached {
                try Exploration("cancel", options: options) { world in
                    let task = Task {
                        await withTaskCancellationHandler {
                            await Task.yield()
                        } onCancel: {
                            callers.insert(World.currentThread)
                        }
                    }
                    for number in 1...2 { world.thread("cancels \(number)") { task.cancel() } }
                    await task.value
                }.run()
            }.value
            // Or the task itself, which finds that it is cancelled.
            #expect(callers.all.count == 3)
        }
    }

    @Test func `a thread whose first act is to cancel may do so late`() async throws {
        for strategy in [ExplorationOptions.Strategy.depthFirst, .optimal] {
            let seen = Collected<Bool>()
            _ = try await Task.detached {
                try Exploration("first act", options: ExplorationOptions(strategy: strategy)) {
                    world in
                    let task = Task {
                        await Task.yield()
                        seen.insert(Task.isCancelled)
                    }
                    world.thread("canceller") { task.cancel() }
                    await task.value
                }.run()
            }.value
            #expect(seen.all == [false, true], "\(strategy)")
        }
    }
}
