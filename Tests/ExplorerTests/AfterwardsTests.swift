// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@testable import Explorer

/// What is done wrong once every thread has ended has a column, and the mark stands on it.
@Suite struct AfterwardsTests {
    private func found(_ body: @escaping (ExploredWorld) throws -> Void) throws -> Counterexample {
        try #require(try Exploration("afterwards", body).run().counterexample)
    }

    private func badges(_ trace: Trace) -> [String] {
        trace.rows.filter { !$0.badge.isEmpty }.map {
            "\(trace.threads[$0.thread]): \($0.text) \($0.badge)"
        }
    }

    @Test func `a second free`() throws {
        let found = try found { world in
            let s = Storage.allocate(1, name: "s")
            world.thread("one") { unsafe s.free() }
            world.afterwards { unsafe s.free() }
        }
        #expect(found.verdict.kind == .doubleFree)
        #expect(
            badges(found.trace) == ["main: allocate s ●", "one: free s ◆", "afterwards: free s ✗"])
        #expect(
            found.trace.sentence
                == "one freed s at step 2; afterwards, when every thread had ended, freed it at step 3"
        )
        #expect(found.trace.sources.map(\.label) == ["alloc", "free", "free"])
    }

    @Test func `a read of what a thread has freed`() throws {
        let found = try found { world in
            let s = Storage.allocate(1, name: "s")
            world.thread("one") { unsafe s.free() }
            world.afterwards { _ = s.read() }
        }
        #expect(found.verdict.kind == .useAfterFree)
        #expect(badges(found.trace).last == "afterwards: use s ✗")
    }

    @Test func `two frees afterwards`() throws {
        let found = try found { world in
            let s = Storage.allocate(1, name: "s")
            world.afterwards {
                unsafe s.free()
                unsafe s.free()
            }
        }
        #expect(found.verdict.kind == .doubleFree)
        #expect(
            badges(found.trace) == [
                "main: allocate s ●", "afterwards: free s ◆", "afterwards: free s ✗",
            ])
    }

    @Test func `a lock inside what a thread has freed`() throws {
        let found = try found { world in
            let s = Storage.allocate(Atomic(0), name: "s")
            world.thread("one") { unsafe s.free() }
            world.afterwards { _ = s.pointee.load(ordering: .relaxed) }
        }
        #expect(found.verdict.kind == .useAfterFree)
        #expect(found.trace.threads.last == "afterwards")
    }

    @Test func `a lock that a thread has never given back`() throws {
        let found = try found { world in
            let lock = Lock()
            world.thread("one") { lock.mutex.lock() }
            world.afterwards { lock.mutex.withLock { _ in } }
        }
        #expect(found.verdict.kind == .deadlock)
        #expect(badges(found.trace).last == "afterwards: lock the lock ✗")
    }

    private final class Lock: Sendable {
        let mutex = Mutex(())
        init() { mutex.label("the lock") }
    }
}
