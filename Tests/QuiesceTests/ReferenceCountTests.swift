// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

@Suite struct ReferenceCountTests {
    private final class Counted: Sendable {
        let count: ReferenceCount
        let memory = Unsynchronized(0)

        init(_ value: Int32) {
            count = ReferenceCount(value)
            count.label("count")
            memory.label("memory")
        }

        func put() {
            _ = memory.load()
            if count.decrementAndTest() { memory.store(-1) }
        }
    }

    // MARK: Explored

    private static let puts: Program = { world in
        let counted = Counted(3)
        for name in ["one", "two", "three"] { world.thread(name) { counted.put() } }
        world.afterwards { expect(counted.memory.load() == -1 && counted.count.value == 0) }
    }

    @Test func `the last of three who put ends the object`() throws {
        try verify("puts", Self.puts)
    }

    private static let raising: Program = { world in
        let counted = Counted(2)
        world.thread("sharer") {
            counted.count.increment()
            counted.put()
            counted.put()
        }
        world.thread("owner") { counted.put() }
        world.afterwards { expect(counted.memory.load() == -1 && counted.count.value == 0) }
    }

    @Test func `a holder of a reference can make another`() throws {
        try verify("raising", Self.raising)
    }

    private static let resurrecting: Program = { world in
        let counted = Counted(1)
        world.thread("owner") { counted.put() }
        world.thread("finder") { if counted.count.incrementUnlessZero() { counted.put() } }
        world.afterwards { expect(counted.memory.load() == -1 && counted.count.value == 0) }
    }

    @Test func `what has come to zero stays there`() throws {
        try verify("resurrecting", Self.resurrecting)
    }

    private static let notOne: Program = { world in
        let counted = Counted(2)
        for name in ["one", "other"] {
            world.thread(name) {
                _ = counted.memory.load()
                if counted.count.decrementUnlessOne() { return }
                if counted.count.decrementIfOne() { counted.memory.store(-1) }
            }
        }
        world.afterwards { expect(counted.memory.load() == -1 && counted.count.value == 0) }
    }

    @Test func `of two who drop unless they are the last one is`() throws {
        try verify("not one", Self.notOne)
    }

    private static let saturating: Program = { world in
        let counted = Counted(.max)
        for name in ["one", "other"] {
            world.thread(name) { _ = Misuse.collecting { counted.count.increment() } }
        }
        world.afterwards { expect(counted.count.value == ReferenceCount.saturated) }
    }

    @Test func `two who overflow it saturate it`() throws {
        try verify("saturating", Self.saturating)
    }

    static let mutants: [Mutant] = [
        Mutant(puts, "ReferenceCountTests.swift", "count.decrementAndTest()", .relaxed),
        Mutant(puts, "ReferenceCountTests.swift", "count.decrementAndTest()", .skipped),
        Mutant(raising, "ReferenceCountTests.swift", "count.increment()", .skipped),
        Mutant(
            resurrecting, "ReferenceCountTests.swift", "count.incrementUnlessZero()", .skipped,
            of: .compareExchange),
        Mutant(
            resurrecting, "ReferenceCountTests.swift", "count.incrementUnlessZero()",
            .unconditional,
            of: .compareExchange),
        Mutant(
            notOne, "ReferenceCountTests.swift", "count.decrementUnlessOne()", .unconditional,
            of: .compareExchange),
        Mutant(
            notOne, "ReferenceCountTests.swift", "count.decrementUnlessOne()", .relaxed,
            of: .compareExchange),
        Mutant(notOne, "ReferenceCountTests.swift", "count.decrementIfOne()", .relaxed),
        Mutant(notOne, "ReferenceCountTests.swift", "count.decrementIfOne()", .skipped),
        Mutant(saturating, "ReferenceCountTests.swift", "count.increment()", .skipped, of: .store),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }

    // MARK: Misuse

    @Test func `misuse is collected where it is asked for, and named`() {
        let count = ReferenceCount(0)
        let inner = ReferenceCount(.max)
        var nested: [Misuse] = []
        let misuses = Misuse.collecting {
            count.increment()
            nested = Misuse.collecting { inner.increment() }
            _ = count.decrementAndTest()
        }
        #expect(misuses.map(\.kind) == [.raisedFromZero, .lowTooOften])
        #expect(nested.map(\.kind) == [.overflow])
        #expect(misuses[0].file == "ReferenceCountTests.swift")
        #expect(misuses[0].description.contains("whose last reference is gone"))
    }

    @Test func `misuse that nobody collects is told on standard error, once a place`() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent])
        {
            let count = ReferenceCount(0)
            for _ in 0..<3 { count.increment() }
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        // Two kinds: from zero, then saturated.
        #expect(
            text.split(separator: "\n").filter { $0.hasPrefix("quiesce: ") }.count == 2, "\(text)")
    }

    @Test func `while explored, misuse is the finding`() throws {
        let report = try Exploration("misuse") { _ in ReferenceCount(0).increment() }.run()
        #expect(report.verdicts == [.misuse: 1])
        let sentence = try #require(report.counterexample).verdict.sentence
        #expect(
            sentence.contains(
                "main: a reference was taken to an object whose last reference is gone"))
    }
}
