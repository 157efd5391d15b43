// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// An object with something in it that only a holder of a reference may touch, and that its release
/// touches last.
private final class Session: ReferenceCounted {
    let referenceCount = ReferenceCount()
    let requests = Unsynchronized(0)
    let releases = Atomic(0)

    init() {
        referenceCount.label("references")
        requests.label("requests")
        releases.label("releases")
    }

    func release() {
        // Plain: everybody who had a reference comes before.
        requests.store(-1)
        releases.wrappingAdd(1, ordering: .relaxed)
    }
}

/// A way to hand a reference to a thread, whose closure cannot consume what it captures.
final class Handed<Object: ReferenceCounted>: Sendable {
    private let reference: Mutex<Reference<Object>?>

    init(_ reference: consuming Reference<Object>) { self.reference = Mutex(reference) }

    func take() -> Reference<Object> { reference.withLock { $0.take()! } }
}

@Suite struct ReferenceTests {
    private static let dropping: Program = { world in
        let first = Reference(Session())
        for name in ["one", "other"] {
            let handed = Handed(first.share())
            world.thread(name) {
                let reference = handed.take()
                reference.withObject { _ = $0.requests.load() }
                reference.drop()
            }
        }
        first.drop()
    }

    @Test func `the object is released once, by the last drop`() throws {
        try verify("drop", Self.dropping)
    }

    /// What is looked up: a table that keeps the memory of a session, and nothing else of it.
    private static let lookup: Program = { world in
        let session = Session()
        let first = Handed(Reference(session))
        world.thread("owner") { first.take().drop() }
        world.thread("finder") {
            guard let found = session.tryReference() else { return }
            found.withObject { $0.requests.withValue { $0 += 1 } }
            expect(
                session.releases.load(ordering: .relaxed) == 0, "found a session that is released")
        }
    }

    @Test func `a lookup gets a live object or none`() throws {
        try verify("lookup", Self.lookup)
    }

    private static let locked: Program = { world in
        let table = SharedTable()
        let session = Session()
        let first = Handed(Reference(session))
        table.found.withLock { $0 = session }
        world.thread("owner") { first.take().drop(locking: table.found) }
        world.thread("finder") {
            // Under the lock, what the table has is not half released.
            let reference = table.found.withLock { $0?.tryReference() }
            reference?.withObject { _ = $0.requests.load() }
        }
    }

    @Test func `the last drop holds the lock while it releases`() throws {
        try verify("drop locking", Self.locked)
    }

    private final class SharedTable: Sendable {
        let found = Mutex<Session?>(nil)
    }

    @Test func `a reference that is never dropped is a leak`() throws {
        let report = try Exploration("leak") { world in
            let reference = Handed(Reference(Session()))
            world.thread("owner") { _ = reference }
            world.thread("forgetful") { unsafe _ = Unmanaged.passRetained(reference) }
        }.run()
        #expect(report.verdicts == [.leak: 1])
    }

    @Test func `an object that is used after its release is found`() throws {
        let report = try Exploration("use after release") { world in
            let session = Session()
            Reference(session).drop()
            session.requests.store(1)
        }.run()
        #expect(report.verdicts == [.useAfterFree: 1])
    }

    @Test func `a reference dropped twice is misuse`() throws {
        let report = try Exploration("dropped twice") { _ in
            let session = Session()
            Reference(session).drop()
            _ = session.referenceCount.decrementAndTest()
        }.run()
        #expect(report.verdicts == [.misuse: 1])
    }

    static let mutants: [Mutant] = [
        Mutant(lookup, "Reference.swift", "Self.drop(object)", .skipped),
        Mutant(dropping, "ReferenceTests.swift", "reference.drop()", .relaxed),
        Mutant(dropping, "ReferenceTests.swift", "reference.drop()", .skipped),
        Mutant(dropping, "ReferenceTests.swift", "Handed(first.share())", .skipped),
        Mutant(
            lookup, "ReferenceTests.swift", "session.tryReference()", .unconditional,
            of: .compareExchange),
        Mutant(
            lookup, "ReferenceTests.swift", "session.tryReference()", .skipped, of: .compareExchange
        ),
        Mutant(
            locked, "ReferenceTests.swift", "drop(locking:", .unconditional, of: .compareExchange),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }
}
