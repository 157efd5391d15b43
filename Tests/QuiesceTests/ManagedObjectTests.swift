// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

@Suite struct ManagedObjectTests {
    private typealias Node = ManagedObject<Int>

    private static func make(_ name: String, _ events: Log) -> Reference<Node> {
        Reference(Node(0, name: name) { _ in events.note(name) })
    }

    @Test func `what an object keeps ends after it`() throws {
        let events = Log()
        let device = Self.make("device", events)
        let node = Self.make("node", events)
        try node.keep(device)
        #expect(!device.drop() && events.all == [])
        #expect(node.drop() && events.all == ["node", "device"])
    }

    @Test func `an object that several keep ends once, after the last`() throws {
        let events = Log()
        let base = Self.make("base", events)
        let left = Self.make("left", events)
        let right = Self.make("right", events)
        try left.keep(base)
        try right.keep(base)
        let top = Self.make("top", events)
        try top.keep(left)
        try top.keep(right)
        base.drop()
        left.drop()
        right.drop()
        #expect(events.all == [])
        top.drop()
        #expect(events.all == ["top", "right", "left", "base"])
    }

    @Test func `a value is the action's`() {
        struct Region: ~Copyable, Sendable {
            let events: Log
            deinit { events.note("unmap") }
        }
        let events = Log()
        let object = Reference(
            ManagedObject(Region(events: events)) { region in
                events.note("release")
                _ = consume region
            })
        object.withObject { $0.withValue { $0.events.note("use") } }
        object.drop()
        #expect(events.all == ["use", "release", "unmap"])
    }

    @Test func `a circle is refused where it would be made`() throws {
        let events = Log()
        let a = Self.make("a", events)
        let b = Self.make("b", events)
        let c = Self.make("c", events)
        try a.keep(b)
        try b.keep(c)
        #expect(throws: QuiesceError.cycle("c keeps a")) { try c.keep(a) }
        #expect(throws: QuiesceError.cycle("a keeps a")) { try a.keep(a) }
        try a.keep(c)
        c.drop()
        b.drop()
        #expect(events.all == [])
        a.drop()
        #expect(events.all == ["a", "b", "c"])
    }

    /// Recursion would need a frame for each.
    @Test func `a chain of a million ends on the stack of one`() throws {
        let ended = Counter()
        var last = Reference(Node(0) { _ in ended.count() })
        for _ in 1..<1_000_000 {
            let next = Reference(Node(0) { _ in ended.count() })
            try next.keep(last)
            last.drop()
            last = next
        }
        #expect(ended.total == 0)
        last.drop()
        #expect(ended.total == 1_000_000)
    }

    // MARK: Explored

    private static let twoDrops: Program = { world in
        let (events, marks) = (Log(), Marks())
        let device = Reference(
            Node(0, name: "device") { _ in
                expect(marks.one.load() + marks.other.load() == 2)
                events.note("device")
            })
        for name in ["one", "other"] {
            let node = Reference(
                Node(0, name: name) { _ in
                    if name == "one" { marks.one.store(1) } else { marks.other.store(1) }
                    events.note(name)
                })
            sure { try node.keep(device) }
            let box = TakeOnce(node)
            world.thread(name) { box.take()?.drop() }
        }
        device.drop()
        world.afterwards {
            expect(
                events.all.count == 3 && events.all.last == "device",
                "\(events.all)")
        }
    }

    @Test func `the last of two drops ends what both kept`() throws {
        try verify("two drops", Self.twoDrops)
    }

    /// What the nodes leave, each in its own plain memory, for the end of the device.
    private final class Marks: Sendable {
        let one = Unsynchronized(0)
        let other = Unsynchronized(0)

        init() {
            one.label("one")
            other.label("other")
        }
    }

    /// Each of two threads makes one half of a circle.
    private static let circle: Program = { world in
        let events = Log()
        let a = make("a", events)
        let b = make("b", events)
        let made = Counter()
        for (name, child, parent) in [("one", 0, 1), ("other", 1, 0)] {
            let box = TakeOnce(
                Pair(
                    child == 0 ? a.share() : b.share(), parent == 0 ? a.share() : b.share()))
            world.thread(name) {
                guard let pair = box.take() else { return }
                do throws(QuiesceError) {
                    try pair.child.keep(pair.parent)
                    made.count()
                } catch {
                    if case .cycle = error { return }
                    expect(false, "\(error)")
                }
            }
        }
        a.drop()
        b.drop()
        world.afterwards {
            expect(made.total == 1, "\(made.total) of two were made")
            expect(events.all.count == 2, "\(events.all)")
        }
    }

    private struct Pair: ~Copyable, Sendable {
        let child: Reference<Node>
        let parent: Reference<Node>

        init(_ child: consuming Reference<Node>, _ parent: consuming Reference<Node>) {
            self.child = child
            self.parent = parent
        }
    }

    @Test func `of two halves of a circle one is refused`() throws {
        try verify("circle", Self.circle)
    }

    static let mutants: [Mutant] = [
        Mutant(circle, "ManagedObject.swift", "lock.withLock { _ in", .skipped),
        Mutant(twoDrops, "ManagedObject.swift", "decrementAndTest()", .relaxed),
        Mutant(twoDrops, "ManagedObject.swift", "decrementAndTest()", .skipped),
        Mutant(twoDrops, "ManagedObject.swift", "other.referenceCount.increment()", .skipped),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }
}

private final class Counter: Sendable {
    private let number = Atomic(0)

    init() { number.label("counter") }

    func count() { number.wrappingAdd(1, ordering: .relaxed) }
    var total: Int { number.load(ordering: .relaxed) }
}
