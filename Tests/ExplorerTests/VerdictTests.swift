// SPDX-License-Identifier: Apache-2.0

import Substrate
import TestSupport
import Testing

@testable import Explorer

/// Every kind of verdict is reached by the mistake it is for, and not by the program beside it.
@Suite struct VerdictTests {
    private func verdict(
        _ options: ExplorationOptions = ExplorationOptions(),
        _ body: @escaping (ExploredWorld) throws -> Void
    ) throws -> Verdict? {
        try Exploration("verdict", options: options, body).run().counterexample?.verdict
    }

    // MARK: Data races follow declared orders

    /// A flag that publishes plain memory, with the orders of a test.
    private static func publication(
        _ store: AtomicStoreOrdering, _ load: AtomicLoadOrdering
    ) -> (ExploredWorld) -> Void {
        { world in
            let box = Publication()
            world.thread("writer") {
                box.data.store(42)
                switch store {
                case .relaxed: box.flag.store(true, ordering: .relaxed)
                default: box.flag.store(true, ordering: .releasing)
                }
            }
            world.thread("reader") {
                let isSet: Bool
                switch load {
                case .relaxed: isSet = box.flag.load(ordering: .relaxed)
                default: isSet = box.flag.load(ordering: .acquiring)
                }
                if isSet { expect(box.data.load() == 42) }
            }
        }
    }

    final class Publication: Sendable {
        let flag = Atomic(false)
        let data = Unsynchronized(0)
        init() {
            flag.label("flag")
            data.label("data")
        }
    }

    @Test func `a release store publishes to an acquire load`() throws {
        #expect(try verdict(body: Self.publication(.releasing, .acquiring)) == nil)
    }

    @Test func `a release weakened to relaxed is a race`() throws {
        #expect(try verdict(body: Self.publication(.relaxed, .acquiring))?.kind == .race)
    }

    @Test func `an acquire weakened to relaxed is a race`() throws {
        #expect(try verdict(body: Self.publication(.releasing, .relaxed))?.kind == .race)
    }

    private func verdict(body: @escaping (ExploredWorld) throws -> Void) throws -> Verdict? {
        try verdict(ExplorationOptions(), body)
    }

    @Test func `a relaxed update keeps what an earlier release published`() throws {
        let found = try verdict { world in
            let box = Publication()
            let count = Counter()
            world.thread("writer") {
                box.data.store(1)
                count.value.wrappingAdd(1, ordering: .releasing)
            }
            world.thread("passer") { count.value.wrappingAdd(10, ordering: .relaxed) }
            world.thread("reader") {
                if count.value.load(ordering: .acquiring) % 10 == 1 { _ = box.data.load() }
            }
        }
        #expect(found == nil)
    }

    final class Counter: Sendable {
        let value = Atomic(0)
        init() { value.label("count") }
    }

    @Test func `fences publish through relaxed accesses`() throws {
        func program(_ fences: Bool) -> (ExploredWorld) -> Void {
            { world in
                let box = Publication()
                world.thread("writer") {
                    box.data.store(1)
                    if fences { atomicMemoryFence(ordering: .releasing) }
                    box.flag.store(true, ordering: .relaxed)
                }
                world.thread("reader") {
                    if box.flag.load(ordering: .relaxed) {
                        if fences { atomicMemoryFence(ordering: .acquiring) }
                        _ = box.data.load()
                    }
                }
            }
        }
        #expect(try verdict(body: program(true)) == nil)
        #expect(try verdict(body: program(false))?.kind == .race)
    }

    @Test func `a lock orders what it protects, and nothing else does`() throws {
        func program(_ locks: Bool) -> (ExploredWorld) -> Void {
            { world in
                let box = Publication()
                let lock = Lock()
                for name in ["one", "two"] {
                    world.thread(name) {
                        if locks { lock.mutex.lock() }
                        box.data.withValue { $0 += 1 }
                        if locks { lock.mutex.unlock() }
                    }
                }
            }
        }
        #expect(try verdict(body: program(true)) == nil)
        let race = try #require(try verdict(body: program(false)))
        #expect(race.kind == .race)
        #expect(
            race.sentence.contains("one") && race.sentence.contains("two")
                && race.sentence.contains("data"))
    }

    final class Lock: Sendable {
        let mutex = Mutex(())
        init() { mutex.label("lock") }
    }

    @Test func `spawn and join order`() throws {
        let found = try verdict { _ in
            let box = Publication()
            box.data.store(1)
            let thread = try WorldThread.spawn(name: "child") { box.data.store(2) }
            thread.join()
            expect(box.data.load() == 2)
        }
        #expect(found == nil)
    }

    @Test func `a race that begins late in the program is still found`() throws {
        // Plain memory is first used in one interleaving only, so that what came before was not
        // tracked at first.
        let found = try verdict { world in
            let count = Counter()
            let box = Publication()
            world.thread("a") {
                if count.value.wrappingAdd(1, ordering: .relaxed).oldValue == 1 {
                    box.data.store(1)
                }
            }
            world.thread("b") {
                if count.value.wrappingAdd(1, ordering: .relaxed).oldValue == 0 {
                    box.data.store(2)
                }
            }
        }
        #expect(found?.kind == .race)
    }

    // MARK: Store buffers

    /// Two threads that tell each other by asymmetric stores; one side must issue the barrier.
    private static func dekker(barrier: Bool) -> (ExploredWorld) -> Void {
        { world in
            let flags = Flags()
            world.thread("fast") {
                flags.fast.storeAsymmetric(1)
                if flags.slow.load(ordering: .relaxed) == 0 {
                    flags.inside.wrappingAdd(1, ordering: .relaxed)
                }
            }
            world.thread("slow") {
                flags.slow.store(1, ordering: .sequentiallyConsistent)
                if barrier { membarrier() }
                if flags.fast.load(ordering: .acquiring) == 0 {
                    flags.inside.wrappingAdd(1, ordering: .relaxed)
                }
            }
            world.afterwards { expect(flags.inside.load(ordering: .relaxed) <= 1, "both got in") }
        }
    }

    final class Flags: Sendable {
        let fast = Atomic(0)
        let slow = Atomic(0)
        let inside = Atomic(0)
        init() {
            fast.label("fast")
            slow.label("slow")
            inside.label("inside")
        }
    }

    @Test func `an asymmetric flag protocol holds with its membarrier`() throws {
        #expect(try verdict(body: Self.dekker(barrier: true)) == nil)
    }

    @Test func `a membarrier that was removed is missed`() throws {
        #expect(try verdict(body: Self.dekker(barrier: false))?.kind == .expectation)
    }

    // MARK: Lifetimes

    struct Object: ~Copyable, Sendable {
        let value = Atomic(0)
    }

    @Test func `a late access is a use after free`() throws {
        let found = try verdict { world in
            let object = Storage.allocate(Object(), name: "object")
            object.pointee.value.label("value")
            world.thread("user") { _ = object.pointee.value.load(ordering: .relaxed) }
            world.thread("owner") { unsafe object.free() }
        }
        #expect(found?.kind == .useAfterFree)
        #expect(found?.sentence.contains("owner freed object") == true)
        #expect(found?.sentence.contains("user read object.value") == true)
    }

    @Test func `a lock that is freed while a thread waits for it is a use after free`() throws {
        struct Locked: ~Copyable, Sendable { let lock = Mutex(()) }
        let found = try verdict { world in
            let object = Storage.allocate(Locked(), name: "object")
            world.thread("waiter") {
                object.pointee.lock.lock()
                object.pointee.lock.unlock()
            }
            world.thread("owner") {
                object.pointee.lock.lock()
                object.pointee.lock.unlock()
                unsafe object.free()
            }
        }
        #expect(found?.kind == .useAfterFree)
    }

    @Test func `a second free is a double free`() throws {
        let found = try verdict { world in
            let object = Storage.allocate(Object(), name: "object")
            world.thread("one") { unsafe object.free() }
            world.thread("two") { unsafe object.free() }
        }
        #expect(found?.kind == .doubleFree)
    }

    @Test func `memory that nobody frees is a leak`() throws {
        let found = try verdict { _ in _ = Storage.allocate(Object(), name: "object") }
        #expect(found == Verdict(.leak, "object was allocated at step 1 and never freed"))
    }

    @Test func `a leak is not reported where threads wait for ever`() throws {
        let found = try verdict { world in
            let lock = Lock()
            _ = Storage.allocate(Object(), name: "object")
            world.thread("stuck") {
                lock.mutex.lock()
                lock.mutex.lock()
            }
        }
        #expect(found?.kind == .deadlock)
    }

    @Test func `an address that is used again shows an ABA mistake`() throws {
        struct Node: ~Copyable, Sendable { let next = Atomic(0) }
        final class Shared: Sendable {
            let top = Atomic<UInt>(0)
            let generation = Atomic(0)
        }
        @Sendable func address(_ storage: Storage<Node>) -> UInt {
            unsafe withUnsafePointer(to: storage.pointee) { UInt(bitPattern: $0) }
        }
        func program(_ world: ExploredWorld) {
            let shared = Shared()
            let first = Storage.allocate(Node(), name: "node")
            shared.top.store(address(first), ordering: .relaxed)
            world.thread("popper") {
                let before = shared.generation.load(ordering: .acquiring)
                let seen = shared.top.load(ordering: .acquiring)
                let (popped, _) = shared.top.compareExchange(
                    expected: seen, desired: 0, ordering: .acquiringAndReleasing)
                // The comparison is meant to say that the top is still the node that was seen.
                if popped && before == 0 && seen == address(first) {
                    expect(shared.generation.load(ordering: .acquiring) == 0, "popped another node")
                }
            }
            world.thread("recycler") {
                guard
                    shared.top.compareExchange(
                        expected: address(first), desired: 0, ordering: .acquiringAndReleasing
                    )
                    .exchanged
                else { return }
                unsafe first.free()
                let second = Storage.allocate(Node(), name: "node")
                shared.generation.store(1, ordering: .releasing)
                shared.top.store(address(second), ordering: .releasing)
            }
        }
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        options.minimizes = false
        func kinds(_ options: ExplorationOptions) throws -> Set<Verdict.Kind> {
            Set(try Exploration("aba", options: options, program).run().verdicts.keys)
        }
        #expect(try kinds(options) == [.leak])
        options.reusesAddresses = true
        #expect(try kinds(options) == [.leak, .expectation])
    }

    // MARK: Waiting for ever

    @Test func `a deadlock names the cycle`() throws {
        let found = try verdict { world in
            let (left, right) = (Lock(), Lock())
            left.mutex.label("left")
            right.mutex.label("right")
            for (name, first, second) in [("one", left, right), ("two", right, left)] {
                world.thread(name) { first.mutex.withLock { _ in second.mutex.withLock { _ in } } }
            }
        }
        #expect(found?.kind == .deadlock)
        #expect(
            found?.sentence == "one waits for right, held by two; two waits for left, held by one")
    }

    @Test func `a lock that a thread holds itself is a deadlock`() throws {
        let found = try verdict { world in
            let lock = Lock()
            world.thread("self") { lock.mutex.withLock { _ in lock.mutex.withLock { _ in } } }
        }
        #expect(found?.sentence == "self waits for lock, which it holds itself")
    }

    /// Something with sections, which a thread can wait for on a condition.
    private final class Room: Sendable {
        let mutex = Mutex(())
        private let left = Condition()
        private let sections = WaitClass(.workQueue)
        private let name: String

        init(_ name: String) {
            self.name = name
            mutex.label("\(name).mutex")
            left.label("\(name).left")
        }

        func enter(_ body: () -> Void) { sections.of(self).section(name, body) }

        /// Waits until nobody is inside; `isWaiting` is told under the mutex, before.
        func wait(telling isWaiting: WaitPoint.Shared? = nil) {
            mutex.lock()
            isWaiting?.advance(to: 1)
            _ = sections.of(self).waiting(name) { left.wait(mutex) }
            mutex.unlock()
        }

        func broadcast() { left.broadcast() }
    }

    @Test func `a wait on a condition for oneself is a deadlock`() throws {
        let found = try verdict { world in
            let room = Room("room")
            world.thread("self") { room.enter { room.wait() } }
        }
        #expect(found?.kind == .deadlock)
        #expect(found?.sentence == "self waits for room, whose items run on itself")
    }

    @Test func `waits on conditions for each other are a deadlock`() throws {
        let found = try verdict { world in
            let (left, right) = (Room("left"), Room("right"))
            world.thread("one") { left.enter { right.wait() } }
            world.thread("two") { right.enter { left.wait() } }
        }
        #expect(found?.kind == .deadlock)
        #expect(
            found?.sentence == "one waits for right, whose items run on two; "
                + "two waits for left, whose items run on one")
    }

    @Test func `a thread that was woken on a condition waits for the mutex`() throws {
        let found = try verdict { world in
            let (room, isWaiting) = (Room("room"), WaitPoint.Shared())
            world.thread("waiter") { room.enter { room.wait(telling: isWaiting) } }
            world.thread("holder") {
                isWaiting.wait(for: 1)
                room.mutex.lock()
                room.broadcast()
                room.mutex.lock()
            }
        }
        #expect(found?.kind == .deadlock)
        #expect(found?.sentence == "holder waits for room.mutex, which it holds itself")
    }

    @Test func `reading again behind a waiting writer is a deadlock, unless readers are preferred`()
        throws
    {
        final class Shared: Sendable {
            let lock: RWLock<Void>
            init(_ preference: RWLock<Void>.Preference) {
                lock = RWLock((), preferring: preference)
                lock.label("rw")
            }
        }
        func program(_ preference: RWLock<Void>.Preference) -> (ExploredWorld) -> Void {
            { world in
                let shared = Shared(preference)
                world.thread("reader") {
                    shared.lock.withReadLock { _ in shared.lock.withReadLock { _ in } }
                }
                world.thread("writer") { shared.lock.withWriteLock { _ in } }
            }
        }
        #expect(try verdict(body: program(.writers))?.kind == .deadlock)
        #expect(try verdict(body: program(.readers)) == nil)
    }

    @Test(arguments: [RWLock<Void>.Preference.writers, .readers], ["read", "write"])
    func `a reader-writer lock that a thread waits for inside of its own section is a deadlock`(
        _ preference: RWLock<Void>.Preference, _ outer: String
    ) throws {
        func program(_ inner: String) -> (ExploredWorld) -> Void {
            { world in
                let lock = RWLock((), preferring: preference)
                lock.label("rw")
                func enter() {
                    if inner == "read" {
                        lock.withReadLock { _ in }
                    } else {
                        lock.withWriteLock { _ in }
                    }
                }
                if outer == "read" {
                    lock.withReadLock { _ in enter() }
                } else {
                    lock.withWriteLock { _ in enter() }
                }
            }
        }
        for inner in ["read", "write"] {
            let found = try verdict(body: program(inner))
            guard outer == "write" || inner == "write" else {
                #expect(found == nil)
                continue
            }
            #expect(found?.kind == .deadlock)
            #expect(found?.sentence.hasSuffix("waits for rw, which it holds itself") == true)
        }
    }

    @Test func `a waiter that nobody wakes is a lost wake-up`() throws {
        let found = try verdict { world in
            let lock = Lock()
            let gate = Gate()
            world.thread("waiter") {
                lock.mutex.lock()
                gate.condition.wait(lock.mutex)
                lock.mutex.unlock()
            }
        }
        #expect(found?.kind == .lostWakeUp)
        #expect(found?.sentence == "waiter waits on gate and nobody is left to wake it")
    }

    @Test func `a wait point's sleepers and wakers are told by the name of its word`() throws {
        let found = try verdict { world in
            let signal = Signal()
            world.thread("waiter") { signal.point.wait(while: 0) }
        }
        #expect(found?.sentence == "waiter waits on signal and nobody is left to wake it")
    }

    final class Signal: Sendable {
        let point = WaitPoint()
        init() { point.label("signal") }
    }

    final class Gate: Sendable {
        let condition = Condition()
        init() { condition.label("gate") }
    }

    @Test func `a service that waits is neither a deadlock nor a leak`() throws {
        let report = try exhaust { world in
            let point = Point()
            world.service("server") { while true { point.point.wait(while: 0) } }
            world.thread("client") { point.done.store(1, ordering: .relaxed) }
        }
        #expect(report.failed == 0 && report.deadlocked == 0 && report.executions > 0)
    }

    final class Point: Sendable {
        let point = WaitPoint()
        let done = Atomic(0)
    }

    @Test func `spinning on what nobody writes is a lost wake-up, on what somebody writes it ends`()
        throws
    {
        func program(_ writes: Bool) -> (ExploredWorld) -> Void {
            { world in
                let count = Counter()
                world.thread("spinner") { spin { count.value.load(ordering: .acquiring) == 0 } }
                world.thread("other") { if writes { count.value.store(1, ordering: .releasing) } }
            }
        }
        #expect(try verdict(body: program(true)) == nil)
        #expect(try verdict(body: program(false))?.kind == .lostWakeUp)
    }

    // MARK: The rest

    @Test func `a loop that does not say that it waits meets the step limit`() throws {
        var options = ExplorationOptions()
        options.stepLimit = 200
        let found = try verdict(options) { world in
            let count = Counter()
            world.thread("looper") { while count.value.load(ordering: .acquiring) == 0 {} }
            world.thread("setter") { count.value.store(1, ordering: .releasing) }
        }
        #expect(found?.kind == .stepLimit)
    }

    @Test func `a declared order is checked in every schedule`() throws {
        func program(_ ordered: Bool) -> (ExploredWorld) -> Void {
            { world in
                world.order("unlink", before: "release")
                let lock = Lock()
                let count = Counter()
                world.thread("remover") {
                    world.mark("unlink")
                    lock.mutex.withLock { _ in count.value.store(1, ordering: .relaxed) }
                }
                world.thread("releaser") {
                    let isUnlinked = lock.mutex.withLock { _ in
                        count.value.load(ordering: .relaxed) == 1
                    }
                    if isUnlinked || !ordered { world.mark("release") }
                }
            }
        }
        #expect(try verdict(body: program(true)) == nil)
        #expect(try verdict(body: program(false))?.kind == .orderViolation)
    }

    @Test func `unlocking what one does not hold is misuse`() throws {
        let found = try verdict { world in
            let lock = Lock()
            world.thread("stranger") { lock.mutex.unlock() }
        }
        #expect(found == Verdict(.misuse, "stranger unlocked lock, which it does not hold"))
    }

    @Test func `a trap is the verdict of its execution`() throws {
        let report = try exhaust { world in
            let count = Counter()
            for name in ["one", "two"] {
                world.thread(name) {
                    precondition(
                        count.value.wrappingAdd(1, ordering: .relaxed).oldValue == 0
                            || name == "one")
                }
            }
        }
        #expect(report.executions == 2)
        #expect(report.verdicts == [.trap: 1])
    }

    @Test func `a trap inside the allocator ends the process and prints its schedule`() async throws
    {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent])
        {
            _ = try Exploration("heap") { world in
                let count = Counter()
                world.thread("corruptor") {
                    count.value.wrappingAdd(1, ordering: .relaxed)
                    ForeignLock.freeWhatIsNotAllocated()
                }
            }.run()
        }
        let errors = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
        #expect(errors.contains("inside the memory allocator") && errors.contains("Schedule: 1"))
    }

    @Test func `an overflowing stack is a trap`() throws {
        @Sendable func deeper(_ depth: Int) -> Int {
            depth == -1 ? 0 : deeper(depth + 1) + deeper(depth + 2)
        }
        let found = try verdict { world in world.thread("deep") { _ = deeper(0) } }
        #expect(found?.kind == .trap)
        #expect(found?.sentence.hasPrefix("deep overflowed its stack") == true)
    }

    @Test func `a thread that blocks outside Substrate is stopped and shown`() throws {
        final class Foreign: Sendable {
            let lock = ForeignLock()
        }
        var options = ExplorationOptions()
        options.watchdogSeconds = 0.3
        let found = try verdict(options) { world in
            let foreign = Foreign()
            world.thread("blocker") {
                foreign.lock.lock()
                foreign.lock.lock()
            }
        }
        #expect(found?.kind == .blockedOutside)
        #expect(found?.sentence.contains("blocker") == true)
    }

    @Test func `an error thrown by the closure is a failure`() throws {
        struct Mistake: Error {}
        #expect(try verdict { _ in throw Mistake() }?.kind == .expectation)
    }

    // MARK: What a reviewer found

    @Test func `a loop that never ends is cut, not deadlocked`() throws {
        var options = ExplorationOptions()
        options.stepLimit = 50
        options.stopsAtFirstFailure = false
        let report = try Exploration("endless", options: options) { world in
            let count = Counter()
            world.thread("looper") { while count.value.load(ordering: .relaxed) == 0 {} }
        }.run()
        #expect(report.verdicts == [.stepLimit: 1] && report.deadlocked == 0)
        #expect(report.coverage == .bounded(by: "50 steps"))
    }

    final class Book: Sendable {
        let lock = RWLock(())
        let data = Unsynchronized(0)
        init() {
            lock.label("rw")
            data.label("data")
        }
    }

    @Test func `two readers that write race, a writer after a reader does not`() throws {
        func program(_ isWriter: Bool) -> (ExploredWorld) -> Void {
            { world in
                let book = Book()
                world.thread("reader") { book.lock.withReadLock { _ in _ = book.data.load() } }
                world.thread("other") {
                    if isWriter {
                        book.lock.withWriteLock { _ in book.data.store(1) }
                    } else {
                        book.lock.withReadLock { _ in book.data.store(1) }
                    }
                }
            }
        }
        #expect(try verdict(body: program(false))?.kind == .race)
        #expect(try verdict(body: program(true)) == nil)
    }

    @Test func `a buffered store publishes when it is flushed, and what was before it`() throws {
        let late = try verdict { world in
            let (box, flags) = (Publication(), Flags())
            world.thread("writer") {
                box.data.store(1)
                flags.fast.storeAsymmetric(1)
            }
            world.thread("reader") {
                _ = flags.fast.load(ordering: .acquiring)
                _ = box.data.load()
            }
        }
        #expect(late?.kind == .race)
        let other = try verdict { world in
            let (box, flags) = (Publication(), Flags())
            world.thread("publisher") {
                box.data.store(1)
                flags.fast.store(1, ordering: .releasing)
            }
            world.thread("other") { flags.fast.storeAsymmetric(2) }
            world.thread("reader") {
                if flags.fast.load(ordering: .acquiring) == 1 { _ = box.data.load() }
            }
        }
        #expect(other == nil)
    }

    @Test func `spinning until readers leave ends`() throws {
        let found = try verdict { world in
            let book = Book()
            world.thread("reader") { book.lock.withReadLock { _ in } }
            world.thread("writer") { spin { book.lock.withWriteLockIfAvailable { _ in 1 } == nil } }
        }
        #expect(found == nil)
    }

    @Test func `a spin lock of exchanges has finitely many executions`() throws {
        var options = ExplorationOptions()
        options.executionLimit = 20_000
        let report = try Exploration("spin lock", options: options) { world in
            let lock = Counter()
            for name in ["a", "b", "c"] {
                world.thread(name) {
                    spin { lock.value.exchange(1, ordering: .acquiring) == 1 }
                    lock.value.store(0, ordering: .releasing)
                }
            }
        }.run()
        #expect(report.coverage == .all && report.failed == 0 && report.blocked == 0)
    }

    @Test func `memory that is used again is new memory`() throws {
        var options = ExplorationOptions()
        options.reusesAddresses = true
        let found = try verdict(options) { _ in
            let first = Storage.allocate(1, name: "first")
            first.write(2)
            unsafe first.free()
            let second = Storage.allocate(1, name: "second")
            second.write(3)
            expect(second.read() == 3)
            unsafe second.free()
        }
        #expect(found == nil)
    }

    @Test func `waiting with a mutex that was freed is a use after free`() throws {
        struct Locked: ~Copyable, Sendable { let lock = Mutex(()) }
        let found = try verdict { world in
            let object = Storage.allocate(Locked(), name: "object")
            let gate = Gate()
            world.thread("waiter") {
                object.pointee.lock.lock()
                unsafe object.free()
                gate.condition.wait(object.pointee.lock)
            }
        }
        #expect(found?.kind == .useAfterFree)
    }

    @Test func `a thread started after the end is misuse`() throws {
        let found = try verdict { world in
            world.afterwards { _ = try? WorldThread.spawn(name: "late") {} }
        }
        #expect(found?.kind == .misuse)
    }

    @Test func `what has no label is named by what it is`() throws {
        let found = try verdict { world in
            final class Pair: Sendable {
                let one = Mutex(())
                let two = Mutex(())
            }
            let pair = Pair()
            world.thread("a") { pair.one.withLock { _ in pair.two.withLock { _ in } } }
            world.thread("b") { pair.two.withLock { _ in pair.one.withLock { _ in } } }
        }
        #expect(found?.sentence == "a waits for mutex 2, held by b; b waits for mutex 1, held by a")
    }
}
