// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// A value that one of several takes.
@Suite struct TakeOnceTests {
    private struct Ticket: ~Copyable, Sendable {
        let ends: Shared
        deinit { ends.count.add(1, ordering: .relaxed) }
    }

    private final class Shared: Sendable {
        let count = Atomic(0)
    }

    private static let twoTake: Program = { world in
        let ends = Shared()
        let taken = Atomic(0)
        let box = TakeOnce(Ticket(ends: ends))
        for name in ["one", "other"] {
            world.thread(name) {
                guard let ticket = box.take() else { return }
                taken.add(1, ordering: .relaxed)
                _ = consume ticket
            }
        }
        world.afterwards {
            expect(taken.load(ordering: .relaxed) == 1, "not one has taken it")
            expect(ends.count.load(ordering: .relaxed) == 1, "it did not end once")
            expect(box.take() == nil)
        }
    }

    @Test func `one of two takes it`() throws { try verify("take once", Self.twoTake) }

    @Test func `an exchange that does not exchange is caught`() throws {
        try expectCaught(
            Mutant(Self.twoTake, "TakeOnce.swift", "isTaken.exchange(true", .skipped))
    }

    @Test func `what nobody takes ends with the box`() {
        let ends = Shared()
        do { _ = TakeOnce(Ticket(ends: ends)) }
        #expect(ends.count.load(ordering: .relaxed) == 1)
    }

    private final class Device: ReferenceCounted, Sendable {
        let referenceCount = ReferenceCount()
        private let released: Shared
        init(_ released: Shared) { self.released = released }
        func release() { released.count.add(1, ordering: .relaxed) }
    }

    /// A refused function lets go of the box, and so of the reference.
    @Test func `a closure takes a reference, and a refused one lets go of it`() throws {
        try verify("a reference goes to a queue", granularity: .coarse) { world in
            let queue = WorkQueue(name: "queue", .ordered)
            let released = Shared()
            let box = TakeOnce(Reference(Device(released)))
            world.thread("closer") { sure { try queue.close() } }
            _ = queue.enqueue {
                guard let reference = box.take() else { return expect(false, "it was taken") }
                let isLast = reference.drop()
                expect(isLast, "somebody else has one")
            }
            sure { try queue.flush() }
            world.afterwards {
                if let reference = box.take() { _ = reference.drop() }
                expect(released.count.load(ordering: .relaxed) == 1)
            }
        }
    }
}
