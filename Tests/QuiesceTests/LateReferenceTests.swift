// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Synchronization
import Testing

/// References that are dropped once the execution is over in which their object was made.
@Suite struct LateReferenceTests {
    private final class Tally: Sendable {
        let releases = Synchronization.Mutex(0)
        let ends = Synchronization.Mutex(0)
        var counts: [Int] { [releases.withLock { $0 }, ends.withLock { $0 }] }
    }

    private final class Thing: ReferenceCounted {
        let referenceCount = ReferenceCount()
        let tally: Tally
        init(_ tally: Tally) { self.tally = tally }
        func release() { tally.releases.withLock { $0 += 1 } }
        deinit { tally.ends.withLock { $0 += 1 } }
    }

    /// Keeps a reference, for closures, which can capture nothing that cannot be copied.
    private final class Holder: Sendable {
        let reference: Reference<Thing>
        init(_ thing: Thing) { reference = Reference(thing) }
    }

    /// Keeps closures longer than an execution.
    private final class Shelf: Sendable {
        let closures = Synchronization.Mutex<[@Sendable () -> Void]>([])
        func put(_ closure: @escaping @Sendable () -> Void) {
            closures.withLock { $0.append(closure) }
        }
        func clear() { closures.withLock { $0.removeAll() } }
    }

    @Test func `a closure that outlives the execution drops the last reference once`() throws {
        let tally = Tally()
        let shelf = Shelf()
        var options = ExplorationOptions()
        options.minimizes = false
        let report = try Exploration("late", options: options) { _ in
            let holder = Holder(Thing(tally))
            shelf.put { withExtendedLifetime(holder) {} }
        }.run()
        #expect(report.counterexample?.verdict.kind == .leak)
        let made = shelf.closures.withLock { $0.count }
        #expect(tally.counts == [0, 0])
        shelf.clear()
        #expect(tally.counts == [made, made])
    }

    @Test func `a thread's closure drops the last reference once`() throws {
        let tally = Tally()
        let made = Synchronization.Mutex(0)
        var options = ExplorationOptions()
        options.minimizes = false
        _ = try Exploration("body", options: options) { world in
            made.withLock { $0 += 1 }
            let holder = Holder(Thing(tally))
            world.thread("user") { withExtendedLifetime(holder) {} }
        }.run()
        let count = made.withLock { $0 }
        #expect(tally.counts == [count, count])
    }

    @Test func `what runs afterwards drops the last reference once`() throws {
        let tally = Tally()
        let made = Synchronization.Mutex(0)
        var options = ExplorationOptions()
        options.minimizes = false
        _ = try Exploration("afterwards", options: options) { world in
            made.withLock { $0 += 1 }
            let holder = Holder(Thing(tally))
            world.afterwards { withExtendedLifetime(holder) {} }
        }.run()
        let count = made.withLock { $0 }
        #expect(tally.counts == [count, count])
    }

    @Test func `an object that another one keeps ends after it, once`() throws {
        final class Parent: ReferenceCounted {
            let referenceCount = ReferenceCount()
            let child = Synchronization.Mutex<Holder?>(nil)
            func release() {}
        }
        let tally = Tally()
        let made = Synchronization.Mutex(0)
        var options = ExplorationOptions()
        options.minimizes = false
        _ = try Exploration("parent", options: options) { _ in
            made.withLock { $0 += 1 }
            let parent = Parent()
            let reference = Reference(parent)
            parent.child.withLock { $0 = Holder(Thing(tally)) }
            reference.drop()
        }.run()
        let count = made.withLock { $0 }
        #expect(tally.counts == [count, count])
    }
}
