// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Synchronization
import Testing

/// Who gives up the last reference decides where a `deinit` runs.
@Suite struct ReleaseTests {
    /// Its end locks `lock`.
    final class Locking: Sendable {
        let lock: Shared
        init(_ lock: Shared) { self.lock = lock }
        deinit { lock.mutex.withLock { _ in } }
    }

    final class Shared: Sendable {
        let mutex = Substrate.Mutex(())
        let word = Substrate.Atomic(0)
    }

    /// A place that one thread uses.
    final class Place<Value>: @unchecked Sendable {
        var value: Value?
        init(_ value: Value) { self.value = value }
    }

    private func explore(
        _ name: String = "program", _ body: @escaping (ExploredWorld) throws -> Void
    ) throws -> ExplorationReport {
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        return try Exploration(name, options: options, body).run()
    }

    @Test(arguments: [false, true])
    func theLastOfTwoMayHoldTheLock(isReversed: Bool) throws {
        let report = try explore { world in
            let shared = Shared()
            let object = Locking(shared)
            let (a, b) = (Place(object), Place(object))
            func first() {
                world.thread("A") { shared.mutex.withLock { _ in a.value = nil } }
            }
            func second() {
                world.thread("B") {
                    shared.word.store(1, ordering: .sequentiallyConsistent)
                    b.value = nil
                    shared.word.store(2, ordering: .sequentiallyConsistent)
                }
            }
            if isReversed {
                second()
                first()
            } else {
                first()
                second()
            }
        }
        #expect(report.verdicts[.deadlock] ?? 0 > 0, "\(report)")
        #expect(report.coverage == .all)
    }

    /// One of two threads gives up what it holds while it holds the lock that the end wants.
    private func expectDeadlock<Value>(
        of make: @escaping (Shared) -> Value, _ location: SourceLocation = #_sourceLocation
    ) throws {
        let report = try explore { world in
            let shared = Shared()
            let value = make(shared)
            let (a, b) = (Place(value), Place(value))
            world.thread("A") { shared.mutex.withLock { _ in a.value = nil } }
            world.thread("B") { b.value = nil }
        }
        #expect(report.verdicts[.deadlock] ?? 0 > 0, "\(report)", sourceLocation: location)
    }

    @Test func arraysHold() throws {
        try expectDeadlock { [Locking($0), Locking($0)] }
    }

    @Test func dictionariesHold() throws {
        try expectDeadlock { [1: Locking($0)] }
    }

    @Test func closuresHold() throws {
        try expectDeadlock { shared -> @Sendable () -> Void in
            let object = Locking(shared)
            return { _ = object.lock }
        }
    }

    @Test func boxesHold() throws {
        try expectDeadlock { shared -> () -> Void in
            var object: Locking? = Locking(shared)
            let change = { object = nil }
            _ = change
            return { _ = object }
        }
    }

    /// What a thread captures it gives up at its end.
    @Test func threadsHold() throws {
        let report = try explore { world in
            let shared = Shared()
            let object = Locking(shared)
            let a = Place(object)
            world.thread("A") { shared.mutex.withLock { _ in a.value = nil } }
            world.thread("B") { _ = object.lock }
        }
        #expect(report.verdicts[.deadlock] ?? 0 > 0, "\(report)")
    }

    /// An object whose own `deinit` does nothing holds one whose does.
    @Test func chainsOfEnds() throws {
        final class Holder: Sendable {
            let held: Locking
            init(_ held: Locking) { self.held = held }
        }
        final class Outer: Sendable {
            let held: Holder
            init(_ held: Holder) { self.held = held }
        }
        try expectDeadlock { Outer(Holder(Locking($0))) }
    }

    // MARK: Tasks

    /// Between a step of a task and the release after it others may come.
    @Test func theLastTaskMayHaveBeenSeen() throws {
        // Whether B saw what A had done, and on which task the end ran.
        let outcomes = Synchronization.Mutex<Set<Int>>([])
        final class Trial: Sendable {
            let begun = Substrate.Atomic(0)
            let seen = Substrate.Atomic(0)
        }
        final class Noting: Sendable {
            let shared: Shared
            init(_ shared: Shared) { self.shared = shared }
            deinit { shared.word.store(Task.name == "A" ? 1 : 2, ordering: .relaxed) }
        }
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        let report = try Exploration("program", options: options) { _ in
            let shared = Shared()
            let trial = Trial()
            let object = Noting(shared)
            let (a, b) = (Place(object), Place(object))
            let first = Task(name: "A") {
                trial.begun.store(1, ordering: .relaxed)
                a.value = nil
            }
            let second = Task(name: "B") {
                trial.seen.store(trial.begun.load(ordering: .relaxed), ordering: .relaxed)
                b.value = nil
            }
            _ = consume object
            await first.value
            await second.value
            let outcome =
                trial.seen.load(ordering: .relaxed) * 10 + shared.word.load(ordering: .relaxed)
            outcomes.withLock { _ = $0.insert(outcome) }
        }.run()
        #expect(report.coverage == .all && report.failed == 0, "\(report)")
        #expect(outcomes.withLock { $0 } == [1, 2, 11, 12], "\(report)")
    }

    @Test func weakLoadsMeetTheLastRelease() throws {
        final class Silent: Sendable {}
        final class Weakly: @unchecked Sendable { weak var object: Silent? }
        let report = try explore { world in
            let weakly = Weakly()
            let object = Silent()
            weakly.object = object
            let a = Place(object)
            world.thread("A") { a.value = nil }
            world.thread("B") { expect(weakly.object != nil, "gone") }
        }
        #expect(report.failed > 0 && report.failed < report.executions, "\(report)")
    }

    @Test func unownedLoadsMeetTheLastRelease() throws {
        final class Silent: Sendable {}
        final class Unowned: @unchecked Sendable {
            unowned var object: Silent
            init(_ object: Silent) { self.object = object }
        }
        let report = try explore { world in
            let object = Silent()
            let unowned = Unowned(object)
            let a = Place(object)
            world.thread("A") { a.value = nil }
            world.thread("B") { _ = Place(unowned.object) }
        }
        #expect(report.verdicts[.trap] ?? 0 > 0, "\(report)")
        #expect(report.failed < report.executions)
    }

    @Test func uniquenessMeetsEveryRelease() throws {
        final class Silent: Sendable {}
        let report = try explore { world in
            let shared = Shared()
            let object = Silent()
            let (a, b) = (Place(object), Place(object))
            world.thread("A") { a.value = nil }
            world.thread("B") {
                if isKnownUniquelyReferenced(&b.value!) { shared.word.store(1, ordering: .relaxed) }
            }
        }
        #expect(report.executions >= 2, "\(report)")
    }

    /// What nobody else can see is no step.
    @Test func silentEndsAreNoSteps() throws {
        final class Silent: Sendable {
            let count = Substrate.Atomic(0)
        }
        let report = try explore { world in
            let object = Silent()
            let (a, b) = (Place(object), Place(object))
            world.thread("A") { a.value = nil }
            world.thread("B") { b.value = nil }
        }
        #expect(report.executions == 1, "\(report)")
    }

    /// A `deinit` that uses a part of its own object comes after all that others did to the part,
    /// and after they have given up their references, whether or not they used it.
    @Test func endsThatUseTheirOwnPartsAreSteps() throws {
        final class Locked: Sendable {
            let value = Substrate.Mutex(0)
            deinit { value.withLock { $0 += 1 } }
        }
        let used = try explore { world in
            let object = Locked()
            let amount = Optional(1)
            for name in ["A", "B"] {
                world.thread(name) {
                    if let amount { object.value.withLock { $0 += amount } }
                }
            }
        }
        #expect(used.coverage == .all && used.blocked == 0 && used.executions > 2, "\(used)")
        let unused = try explore { world in
            let shared = Shared()
            let object = Locked()
            let (a, b) = (Place(object), Place(object))
            world.thread("A") {
                a.value = nil
                shared.word.store(1, ordering: .relaxed)
            }
            world.thread("B") {
                shared.word.store(2, ordering: .relaxed)
                b.value = nil
            }
        }
        #expect(unused.coverage == .all && unused.blocked == 0, "\(unused)")
    }

    /// However often a reference is taken and given up, what matters is who is last.
    @Test(arguments: [1, 4, 16])
    func releasesThatAreNotTheLastCommute(copies count: Int) throws {
        let report = try explore { world in
            let shared = Shared()
            let object = Locking(shared)
            let (a, b) = (Place(object), Place(object))
            for place in [a, b] {
                world.thread("dropper") {
                    var copies: [Locking] = []
                    for _ in 0..<count { copies.append(place.value!) }
                    while !copies.isEmpty { copies.removeLast() }
                    place.value = nil
                }
            }
        }
        #expect(report.executions <= 12, "\(report)")
        #expect(report.coverage == .all)
    }
}
