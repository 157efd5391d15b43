// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization
import Testing
import TestSupport

@testable import Explorer
@testable import Substrate

/// Says whether two threads were inside of a section at a time. Its own atomics are the standard
/// library's, which no exploration sees.
private final class Section: Sendable {
    private let inside = Synchronization.Atomic(0)
    private let seen = Synchronization.Atomic(0)

    var overlaps: Int { seen.load(ordering: .relaxed) }

    func enter() {
        if inside.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue != 0 {
            seen.wrappingAdd(1, ordering: .relaxed)
        }
    }

    func leave() { inside.wrappingSubtract(1, ordering: .sequentiallyConsistent) }

    /// Is inside for a moment.
    func pass() {
        enter()
        for _ in 0..<50 { quiesce_pause() }
        leave()
    }
}

/// What is set once, by a thread that is not explored or for one.
private final class Signal: Sendable {
    private let flag = Synchronization.Atomic(false)
    var isSet: Bool { flag.load(ordering: .sequentiallyConsistent) }
    func set() { flag.store(true, ordering: .sequentiallyConsistent) }
    func wait() { waitUntil { isSet } }
}

private final class Locks: Sendable {
    let lock = Substrate.Mutex(0)
    let other = Substrate.Mutex(0)
    let readers = RWLock(0)
    let condition = Condition()
    let point = WaitPoint()
    let section = Section()

    /// Whether nobody holds any of them.
    var areFree: Bool {
        lock.word.load(ordering: .relaxed) == 0 && other.word.load(ordering: .relaxed) == 0
            && readers.withWriteLockIfAvailable { _ in true } == true
    }
}

/// Whether a thread sleeps for the lock.
private func isAwaited(_ lock: borrowing Substrate.Mutex<Int>) -> Bool {
    SharedLock(.mutex, at: lock.address, as: 0).isAwaited
}

/// Whether a thread of an exploration has waited on the condition.
private func isMarked(_ condition: borrowing Condition) -> Bool {
    SharedWaiters(at: condition.address).isMarked
}

/// Runs `body` on a thread that is not explored while `work` runs.
private func beside<Result>(
    _ body: @escaping @Sendable () -> Void, _ work: () throws -> Result
) throws -> Result {
    let thread = try WorldThread.spawn(body)
    let result = Swift.Result { try work() }
    thread.join()
    return try result.get()
}

/// The same, where the thread runs `body` again and again until `work` is over.
private func beside<Result>(
    again body: @escaping @Sendable () -> Void, _ work: () throws -> Result
) throws -> Result {
    let isOver = Signal()
    return try beside({ while !isOver.isSet { body() } }) {
        defer { isOver.set() }
        return try work()
    }
}

private let sampled = ExplorationReport.Coverage.bounded(
    by: "a thread that is not explored took part")

/// Locks that an exploration shares with threads that it does not run.
@Suite struct SharedLockTests {
    private func explore(
        _ options: ExplorationOptions = ExplorationOptions(),
        _ body: @escaping (ExploredWorld) throws -> Void
    ) throws -> ExplorationReport {
        try Exploration("shared", options: options, body).run()
    }

    private func options(seconds: Double) -> ExplorationOptions {
        var options = ExplorationOptions()
        options.watchdogSeconds = seconds
        return options
    }

    // MARK: Nobody overlaps

    /// Two threads that enter a section under a lock, with a step inside.
    private func enter(
        _ world: ExploredWorld, _ section: Section,
        _ locked: @escaping @Sendable (() -> Void) -> Void
    ) {
        let word = Substrate.Atomic(0)
        for name in ["A", "B"] {
            world.thread(name) {
                locked {
                    section.enter()
                    word.wrappingAdd(1, ordering: .relaxed)
                    for _ in 0..<2000 { quiesce_pause() }
                    section.leave()
                }
            }
        }
        world.afterwards { expect(word.load(ordering: .relaxed) == 2) }
    }

    @Test func `two explorations exclude each other`() throws {
        let locks = Locks()
        let reports = Synchronization.Mutex<[ExplorationReport]>([])
        try together(2) { _ in
            for _ in 0..<20 {
                let report = try? explore { world in
                    for name in ["A", "B"] {
                        world.thread(name) {
                            for _ in 0..<2 {
                                locks.lock.withLock {
                                    locks.section.enter()
                                    $0 += 1
                                    locks.section.leave()
                                }
                            }
                        }
                    }
                }
                reports.withLock { if let report { $0.append(report) } }
            }
        }
        let found = reports.withLock { $0 }
        #expect(found.count == 40)
        #expect(found.allSatisfy { $0.counterexample == nil && $0.defect == nil })
        // Meeting each other changes nothing of what is searched.
        #expect(found.allSatisfy { $0.executions == found[0].executions })
        #expect(locks.section.overlaps == 0)
        #expect(locks.areFree)
    }

    @Test func `an exploration and an ordinary thread exclude each other`() throws {
        let locks = Locks()
        try beside(again: { locks.lock.withLock { _ in locks.section.pass() } }) {
            for _ in 0..<20 {
                let report = try explore { world in
                    enter(world, locks.section) { body in locks.lock.withLock { _ in body() } }
                }
                #expect(report.counterexample == nil)
            }
        }
        #expect(locks.section.overlaps == 0 && locks.areFree)
    }

    @Test func `readers and writers on both sides exclude each other`() throws {
        let locks = Locks()
        try beside(again: { locks.readers.withWriteLock { _ in locks.section.pass() } }) {
            for _ in 0..<10 {
                // Readers of the exploration are inside together: one enters for all.
                let report = try explore { world in
                    let word = Substrate.Atomic(0)
                    for name in ["A", "B"] {
                        world.thread(name) {
                            locks.readers.withReadLock { _ in
                                let isFirst =
                                    word.wrappingAdd(1, ordering: .relaxed).oldValue == 0
                                if isFirst { locks.section.pass() }
                            }
                        }
                    }
                }
                #expect(report.counterexample == nil)
            }
        }
        #expect(locks.section.overlaps == 0 && locks.areFree)
    }

    @Test func `a writer of an exploration keeps ordinary readers out`() throws {
        let locks = Locks()
        try beside(again: { locks.readers.withReadLock { _ in locks.section.pass() } }) {
            for _ in 0..<20 {
                let report = try explore { world in
                    enter(world, locks.section) { body in
                        locks.readers.withWriteLock { _ in body() }
                    }
                }
                #expect(report.counterexample == nil)
            }
        }
        #expect(locks.section.overlaps == 0 && locks.areFree)
    }

    @Test func `a wait ends with the lock`() throws {
        let locks = Locks()
        try beside(again: { locks.lock.withLock { _ in locks.section.pass() } }) {
            for _ in 0..<20 {
                let report = try explore { world in
                    let isReady = Substrate.Atomic(false)
                    let condition = Condition()
                    world.thread("waits") {
                        locks.lock.lock()
                        while !isReady.load(ordering: .relaxed) { condition.wait(locks.lock) }
                        for _ in 0..<20 { locks.section.pass() }
                        locks.lock.unlock()
                    }
                    world.thread("signals") {
                        locks.lock.withLock { _ in isReady.store(true, ordering: .relaxed) }
                        condition.signal()
                    }
                }
                #expect(report.counterexample == nil)
            }
        }
        #expect(locks.section.overlaps == 0 && locks.areFree)
    }

    @Test func `executions that deadlock keep others out to their end`() throws {
        let locks = Locks()
        let isOver = Signal()
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        options.minimizes = false
        let settled = options
        try beside({
            while !isOver.isSet { locks.lock.withLock { _ in locks.section.pass() } }
        }) {
            defer { isOver.set() }
            for _ in 0..<10 {
                let report = try explore(settled) { world in
                    let own = Substrate.Mutex(0)
                    world.thread("A") {
                        locks.lock.withLock { _ in
                            locks.section.enter()
                            own.withLock { $0 += 1 }
                            locks.section.leave()
                        }
                    }
                    world.thread("B") {
                        own.withLock { _ in
                            locks.lock.withLock { _ in }
                        }
                    }
                }
                #expect(report.verdicts[.deadlock] ?? 0 > 0)
                #expect(report.abandonedThreads == 0)
            }
        }
        #expect(locks.section.overlaps == 0 && locks.areFree)
    }

    // MARK: Waiting

    @Test func `a lock that is held outside is waited for`() throws {
        let locks = Locks()
        let (isHeld, isOver) = (Signal(), Signal())
        let report = try beside({
            locks.lock.withLock { value in
                isHeld.set()
                waitUntil { isAwaited(locks.lock) || isOver.isSet }
                value = 1
            }
        }) {
            isHeld.wait()
            defer { isOver.set() }
            return try explore { world in
                for name in ["A", "B"] {
                    world.thread(name) { locks.lock.withLock { expect($0 == 1) } }
                }
            }
        }
        #expect(report.counterexample == nil)
        #expect(report.executions == 2)
        guard case .bounded(let bound) = report.coverage else {
            Issue.record("\(report.coverage)")
            return
        }
        #expect(
            bound.hasPrefix(
                "what it orders itself: a thread that is not explored used what SharedLockTests.swift:"
            ), "\(bound)")
    }

    @Test func `a waiter outside is let in`() throws {
        let locks = Locks()
        let mayGo = Signal()
        let report = try beside({
            mayGo.wait()
            locks.lock.withLock { $0 += 1 }
        }) {
            try explore { world in
                locks.lock.withLock { value in
                    guard !mayGo.isSet else { return }
                    mayGo.set()
                    while !isAwaited(locks.lock) { quiesce_yield() }
                    expect(value == 0)
                }
            }
        }
        #expect(report.counterexample == nil)
        #expect(locks.lock.withLock { $0 } == 1)
        #expect(report.coverage != .all)
    }

    @Test func `a try finds a lock that is held outside`() throws {
        let locks = Locks()
        let (isHeld, isOver) = (Signal(), Signal())
        let report = try beside({
            locks.lock.lock()
            locks.readers.withWriteLock { _ in
                isHeld.set()
                isOver.wait()
            }
            locks.lock.unlock()
        }) {
            isHeld.wait()
            defer { isOver.set() }
            return try explore { world in
                let tries = Substrate.Atomic(0)
                for name in ["A", "B"] {
                    world.thread(name) {
                        if locks.lock.withLockIfAvailable({ _ in }) != nil
                            || locks.readers.withReadLockIfAvailable({ _ in }) != nil
                            || locks.readers.withWriteLockIfAvailable({ _ in }) != nil
                        {
                            tries.wrappingAdd(1, ordering: .relaxed)
                        }
                    }
                }
                world.afterwards { expect(tries.load(ordering: .relaxed) == 0) }
            }
        }
        #expect(report.counterexample == nil)
        #expect(report.coverage == sampled)
        #expect(locks.areFree)
    }

    /// The thread that holds what the exploration wants waits for what the exploration holds; it
    /// would have gone on had the other thread of the exploration been let run.
    @Test func `a thread that is kept out lets the others run`() throws {
        let locks = Locks()
        let report = try beside(again: {
            locks.other.withLock { _ in locks.lock.withLock { _ in locks.section.pass() } }
        }) {
            return try explore(options(seconds: 20)) { world in
                let word = Substrate.Atomic(0)
                world.thread("A") {
                    locks.lock.withLock { _ in
                        locks.section.enter()
                        // The other thread has one lock and waits for the other.
                        while !isAwaited(locks.lock), !isAwaited(locks.other) { quiesce_yield() }
                        word.wrappingAdd(1, ordering: .relaxed)
                        locks.section.leave()
                    }
                }
                world.thread("B") {
                    locks.other.withLock { _ in _ = word.wrappingAdd(1, ordering: .relaxed) }
                }
            }
        }
        #expect(report.counterexample == nil, "\(report.counterexample?.verdict.sentence ?? "")")
        #expect(locks.section.overlaps == 0 && locks.areFree)
    }

    // MARK: For too long

    @Test(arguments: ["mutex", "read", "write"])
    func `a lock that is never given back is named`(_ kind: String) throws {
        let locks = Locks()
        let (isHeld, isOver) = (Signal(), Signal())
        let runs = Synchronization.Atomic(0)
        let report = try beside({
            locks.lock.withLock { _ in
                locks.readers.withWriteLock { _ in
                    isHeld.set()
                    isOver.wait()
                }
            }
        }) {
            isHeld.wait()
            defer { isOver.set() }
            return try explore(options(seconds: 0.2)) { world in
                runs.wrappingAdd(1, ordering: .relaxed)
                locks.lock.label("lock")
                locks.readers.label("lock")
                world.thread("A") {
                    switch kind {
                    case "mutex": locks.lock.withLock { _ in }
                    case "read": locks.readers.withReadLock { _ in }
                    default: locks.readers.withWriteLock { _ in }
                    }
                }
            }
        }
        let verdict = try #require(report.counterexample?.verdict)
        #expect(verdict.kind == .blockedOutside)
        #expect(verdict.sentence.hasPrefix("A waits for lock, which "), "\(verdict.sentence)")
        #expect(verdict.sentence.contains("which is not explored, holds"))
        #expect(report.coverage != .all)
        #expect(runs.load(ordering: .relaxed) <= 2)
        #expect(locks.areFree)
    }

    @Test func `a lock that the exploring thread holds itself is named`() throws {
        let locks = Locks()
        let report = try locks.lock.withLock { _ in
            try explore(options(seconds: 0.2)) { _ in locks.lock.withLock { _ in } }
        }
        #expect(report.counterexample?.verdict.kind == .blockedOutside)
        #expect(locks.areFree)
    }

    @Test func `a cycle with an ordinary thread is named`() throws {
        let locks = Locks()
        let (isHeld, isOver) = (Signal(), Signal())
        let report = try beside({
            locks.other.withLock { _ in
                isHeld.set()
                waitUntil { locks.lock.word.load(ordering: .relaxed) != 0 || isOver.isSet }
                locks.lock.withLock { $0 += 1 }
            }
        }) {
            isHeld.wait()
            defer { isOver.set() }
            return try explore(options(seconds: 0.3)) { world in
                world.thread("A") {
                    locks.lock.withLock { _ in locks.other.withLock { _ in } }
                }
            }
        }
        #expect(report.counterexample?.verdict.kind == .blockedOutside)
        #expect(locks.lock.withLock { $0 } == 1, "the other thread went on")
        #expect(locks.areFree)
    }

    @Test func `a cycle between two explorations ends`() throws {
        let locks = Locks()
        let first = options(seconds: 0.3)
        let verdicts = Synchronization.Mutex<Set<Verdict.Kind>>([])
        try together(2) { index in
            for _ in 0..<5 {
                let report = try? explore(first) { world in
                    world.thread("A") {
                        if index == 0 {
                            locks.lock.withLock { _ in locks.other.withLock { _ in } }
                        } else {
                            locks.other.withLock { _ in locks.lock.withLock { _ in } }
                        }
                    }
                }
                let kind = report?.counterexample?.verdict.kind
                verdicts.withLock { if let kind { $0.insert(kind) } }
            }
        }
        #expect(verdicts.withLock { $0 }.isSubset(of: [.blockedOutside]))
        #expect(locks.areFree)
    }

    // MARK: Every word is free again

    enum Ending: String, CaseIterable {
        case complete, deadlock, trap, expectation, cut, neverUnlocked, abandoned, thrown
    }

    private struct Thrown: Error {}

    @Test(arguments: Ending.allCases)
    func `words are free after every execution`(_ ending: Ending) throws {
        let locks = Locks()
        let taken = Synchronization.Atomic(0)
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        options.minimizes = false
        options.stepLimit = ending == .cut ? 40 : 1000
        let report = try explore(options) { world in
            if !locks.areFree { taken.wrappingAdd(1, ordering: .relaxed) }
            let word = Substrate.Atomic(0)
            let own = Substrate.Mutex(0)
            world.thread("A") {
                word.wrappingAdd(1, ordering: .relaxed)
                locks.lock.lock()
                locks.readers.withReadLock { _ in
                    own.lock()
                    switch ending {
                    case .trap: quiesce_test_trap()
                    case .expectation: expect(false)
                    case .cut: for _ in 0..<100 { word.wrappingAdd(1, ordering: .relaxed) }
                    case .neverUnlocked: return
                    case .abandoned: spin { true }
                    default: break
                    }
                    own.unlock()
                }
                if ending != .neverUnlocked { locks.lock.unlock() }
            }
            world.thread("B") {
                word.wrappingAdd(1, ordering: .relaxed)
                if ending == .deadlock { own.lock() }
                locks.other.withLock { _ in
                    if ending == .deadlock { locks.readers.withWriteLock { _ in } }
                }
                if ending == .deadlock { own.unlock() }
            }
            if ending == .thrown {
                locks.lock.lock()
                throw Thrown()
            }
        }
        // What is cut is cut soon: there are as many executions as steps.
        #expect(report.executions > 1 || ending == .cut)
        #expect(report.counterexample == nil || ending != .complete)
        #expect(taken.load(ordering: .relaxed) == 0)
        #expect(locks.areFree)
    }

    @Test func `a lock that dies while it is held does no harm`() throws {
        let report = try explore { world in
            world.thread("A") {
                // So large that the allocator gives its memory back to the system.
                let storage = UnsafeMutablePointer<Substrate.Mutex<Int>>.allocate(
                    capacity: 100_000)
                unsafe storage.initialize(to: Substrate.Mutex(0))
                unsafe storage.pointee.lock()
                unsafe storage.deinitialize(count: 1)
                unsafe storage.deallocate()
            }
        }
        #expect(report.executions == 1)
    }

    @Test func `a lock whose reader has trapped is left alone`() throws {
        let storage = UnsafeMutablePointer<RWLock<Int>>.allocate(capacity: 1)
        defer { unsafe storage.deallocate() }
        nonisolated(unsafe) let shared = unsafe storage
        let report = try explore { world in
            unsafe shared.initialize(to: RWLock(0))
            let reader = try WorldThread.spawn {
                unsafe shared.pointee.withReadLock { _ in quiesce_test_trap() }
            }
            reader.join()
            // It dies, and its memory has another use.
            unsafe shared.deinitialize(count: 1)
            unsafe UnsafeMutableRawBufferPointer(
                start: shared, count: MemoryLayout<RWLock<Int>>.size
            )
            .initializeMemory(as: UInt8.self, repeating: 1)
        }
        #expect(report.counterexample?.verdict.kind == .trap)
        let bytes = unsafe UnsafeRawBufferPointer(
            start: storage, count: MemoryLayout<RWLock<Int>>.size)
        #expect(unsafe bytes.allSatisfy { $0 == 1 })
    }

    @Test func `what runs afterwards takes words too`() throws {
        let locks = Locks()
        try beside(again: { locks.lock.withLock { _ in locks.section.pass() } }) {
            for _ in 0..<200 {
                let report = try explore { world in
                    world.afterwards { locks.lock.withLock { _ in locks.section.pass() } }
                }
                #expect(report.counterexample == nil)
            }
        }
        #expect(locks.section.overlaps == 0 && locks.areFree)
    }

    // MARK: Conditions and wait points

    /// Long enough for any machine; a wake-up that is lost ends here.
    private static var deadline: WorldClock.Instant { WorldClock.now() + .seconds(20) }

    @Test func `an explored signal wakes an ordinary thread`() throws {
        let locks = Locks()
        let sleeper = Sleeper()
        let isInTime = Synchronization.Atomic(true)
        try beside({
            locks.lock.lock()
            sleeper.announce()
            while locks.lock.unlockedValue == 0 {
                if !locks.condition.wait(locks.lock, until: Self.deadline) {
                    isInTime.store(false, ordering: .relaxed)
                    break
                }
            }
            locks.lock.unlock()
        }) {
            sleeper.waitUntilAsleep()
            let report = try explore { world in
                world.thread("A") {
                    locks.lock.withLock { $0 = 1 }
                    locks.condition.signal()
                }
            }
            #expect(report.counterexample == nil)
            #expect(report.coverage != .all)
        }
        #expect(isInTime.load(ordering: .relaxed) == true)
    }

    @Test func `an ordinary signal wakes an explored thread`() throws {
        let locks = Locks()
        let isOver = Signal()
        let report = try beside({
            // Not before a thread of the exploration waits.
            waitUntil { isMarked(locks.condition) || isOver.isSet }
            while !isOver.isSet {
                locks.lock.withLock { $0 = 1 }
                locks.condition.signal()
                quiesce_yield()
            }
        }) {
            defer { isOver.set() }
            return try explore { world in
                world.thread("A") {
                    locks.lock.withLock(waitingFor: locks.condition, while: { $0 == 0 }) {
                        $0 = 0
                    }
                }
            }
        }
        #expect(
            report.counterexample == nil, "\(report.counterexample?.verdict.sentence ?? "")")
        #expect(locks.areFree)
    }

    @Test func `an explored wake wakes an ordinary thread`() throws {
        let locks = Locks()
        let sleeper = Sleeper()
        let isInTime = Synchronization.Atomic(true)
        try beside({
            sleeper.announce()
            while locks.point.word.load(ordering: .acquiring) == 0 {
                if !locks.point.wait(while: 0, until: Self.deadline) {
                    isInTime.store(false, ordering: .relaxed)
                    break
                }
            }
        }) {
            sleeper.waitUntilAsleep()
            let report = try explore { world in
                world.thread("A") {
                    locks.point.word.store(1, ordering: .releasing)
                    locks.point.wake(1)
                }
            }
            #expect(report.counterexample == nil)
            #expect(report.coverage != .all)
        }
        #expect(isInTime.load(ordering: .relaxed) == true)
    }

    @Test func `an ordinary wake wakes an explored thread`() throws {
        let locks = Locks()
        let report = try beside(again: {
            locks.point.word.store(1, ordering: .releasing)
            locks.point.wake(1)
            quiesce_yield()
        }) {
            return try explore { world in
                world.thread("A") {
                    while locks.point.word.load(ordering: .acquiring) == 0 {
                        locks.point.wait(while: 0)
                    }
                    locks.point.word.store(0, ordering: .relaxed)
                }
            }
        }
        #expect(
            report.counterexample == nil, "\(report.counterexample?.verdict.sentence ?? "")")
        #expect(locks.areFree)
    }

    @Test func `two explorations wake each other`() throws {
        let locks = Locks()
        let woken = Synchronization.Atomic(0)
        try beside(again: {
            // Explores again and again what signals.
            _ = try? explore { world in
                world.thread("signals") {
                    locks.lock.withLock { $0 = 1 }
                    locks.condition.broadcast()
                }
            }
        }) {
            let report = try explore { world in
                world.thread("waits") {
                    locks.lock.withLock(waitingFor: locks.condition, while: { $0 == 0 }) {
                        $0 = 0
                        woken.wrappingAdd(1, ordering: .relaxed)
                    }
                }
            }
            #expect(
                report.counterexample == nil, "\(report.counterexample?.verdict.sentence ?? "")")
        }
        #expect(woken.load(ordering: .relaxed) > 0)
        #expect(locks.areFree)
    }

    /// A wait that nobody ends is still found where a thread outside might end it.
    @Test func `a lost wake-up of what is shared is found in time`() throws {
        let locks = Locks()
        let report = try explore(options(seconds: 0.2)) { world in
            world.thread("A") {
                locks.lock.withLock(waitingFor: locks.condition, while: { _ in true }) { _ in }
            }
        }
        #expect(report.counterexample?.verdict.kind == .lostWakeUp)
        #expect(locks.areFree)
    }

    @Test func `what is not shared costs no wait and is covered`() throws {
        let report = try explore { world in
            let locks = Locks()
            world.thread("A") {
                locks.lock.withLock(waitingFor: locks.condition, while: { $0 == 0 }) { _ in }
            }
            world.thread("B") {
                locks.lock.withLock { $0 = 1 }
                locks.condition.signal()
            }
        }
        #expect(report.counterexample == nil)
        #expect(report.coverage == .all)
    }

    @Test func `waiters are counted beside the word`() {
        #expect(MemoryLayout<Condition>.size == 8)
        #expect(MemoryLayout<WaitPoint>.size == 8)
    }
}

extension Substrate.Mutex where Value == Int {
    /// The value, read by the thread that holds the lock.
    fileprivate var unlockedValue: Int { unsafe cell.address.pointee }
}
