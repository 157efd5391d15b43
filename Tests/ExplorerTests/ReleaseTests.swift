// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
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
        let mutex = Mutex(())
        let word = Atomic(0)
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

    /// The same through each kind of value that holds the object.
    @Test func arraysHold() throws {
        let report = try explore { world in
            let shared = Shared()
            let array = [Locking(shared), Locking(shared)]
            let (a, b) = (Place(array), Place(array))
            world.thread("A") { shared.mutex.withLock { _ in a.value = nil } }
            world.thread("B") { b.value = nil }
        }
        #expect(report.verdicts[.deadlock] ?? 0 > 0, "\(report)")
    }

    @Test func dictionariesHold() throws {
        let report = try explore { world in
            let shared = Shared()
            let dictionary = [1: Locking(shared)]
            let (a, b) = (Place(dictionary), Place(dictionary))
            world.thread("A") { shared.mutex.withLock { _ in a.value = nil } }
            world.thread("B") { b.value = nil }
        }
        #expect(report.verdicts[.deadlock] ?? 0 > 0, "\(report)")
    }

    @Test func closuresHold() throws {
        let report = try explore { world in
            let shared = Shared()
            let object = Locking(shared)
            let closure: @Sendable () -> Void = { _ = object.lock }
            let (a, b) = (Place(closure), Place(closure))
            world.thread("A") { shared.mutex.withLock { _ in a.value = nil } }
            world.thread("B") { b.value = nil }
        }
        #expect(report.verdicts[.deadlock] ?? 0 > 0, "\(report)")
    }

    @Test func boxesHold() throws {
        let report = try explore { world in
            let shared = Shared()
            var object: Locking? = Locking(shared)
            let change = { object = nil }
            _ = change
            let closure = { _ = object }
            let (a, b) = (Place(closure), Place(closure))
            world.thread("A") { shared.mutex.withLock { _ in a.value = nil } }
            world.thread("B") { b.value = nil }
        }
        #expect(report.verdicts[.deadlock] ?? 0 > 0, "\(report)")
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
        let report = try explore { world in
            let shared = Shared()
            let object = Outer(Holder(Locking(shared)))
            let (a, b) = (Place(object), Place(object))
            world.thread("A") { shared.mutex.withLock { _ in a.value = nil } }
            world.thread("B") { b.value = nil }
        }
        #expect(report.verdicts[.deadlock] ?? 0 > 0, "\(report)")
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
        final class Counting: Sendable {
            let count = Atomic(0)
            deinit { _ = count.load(ordering: .relaxed) }
        }
        let report = try explore { world in
            let object = Counting()
            let (a, b) = (Place(object), Place(object))
            world.thread("A") { a.value = nil }
            world.thread("B") { b.value = nil }
        }
        #expect(report.executions == 1, "\(report)")
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
