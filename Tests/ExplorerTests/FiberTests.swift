// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Glibc
import Substrate
import Testing

@testable import Explorer

/// The runtime's thread-locals belong to a fiber. These tests fail loudly when a toolchain moves
/// them.
@Suite struct FiberTests {
    @TaskLocal static var name = "nobody"

    final class Turn: Sendable {
        let turn = Atomic(0)
        init() { turn.label("turn") }
    }

    @Test
    func `the segments of the runtime's thread-locals are found, with the sizes that are known`() {
        #expect(quiesce_fiber_core_image_size() == 24)
        #expect(quiesce_fiber_concurrency_image_size() == 32)
    }

    @Test func `interleaved task-locals stay apart`() throws {
        let outcomes = Outcomes()
        let report = try exhaust { world in
            let turn = Turn()
            for name in ["a", "b"] {
                world.thread(name) {
                    Self.$name.withValue(name) {
                        turn.turn.wrappingAdd(1, ordering: .relaxed)
                        outcomes.insert(Self.name == name ? "own" : "foreign")
                        turn.turn.wrappingAdd(1, ordering: .relaxed)
                        outcomes.insert(Self.name == name ? "own" : "foreign")
                    }
                    outcomes.insert(Self.name == "nobody" ? "none left" : "left over")
                }
            }
        }
        #expect(report.executions == 6)
        #expect(outcomes.all == ["own", "none left"])
    }

    @Test func `how the processor rounds belongs to a thread`() throws {
        let outcomes = Outcomes()
        // What C calls FE_UPWARD, FE_DOWNWARD and FE_TONEAREST.
        #if arch(x86_64)
            let modes: [String: Int32] = ["up": 0x800, "down": 0x400, "as it was": 0]
        #else
            let modes: [String: Int32] = ["up": 0x40_0000, "down": 0x80_0000, "as it was": 0]
        #endif
        let report = try exhaust { world in
            let turn = Turn()
            for (name, mode) in modes.sorted(by: { $0.key < $1.key }) {
                world.thread(name) {
                    if mode != 0 { fesetround(mode) }
                    turn.turn.wrappingAdd(1, ordering: .relaxed)
                    outcomes.insert(fegetround() == mode ? "own" : "foreign")
                }
            }
        }
        #expect(report.executions == 6)
        #expect(outcomes.all == ["own"])
        #expect(fegetround() == 0, "the exploring thread rounds as before")
    }

    @Test func `a thread has its alternate signal stack again afterwards`() throws {
        try onThread {
            let memory = UnsafeMutableRawPointer.allocate(byteCount: 65_536, alignment: 16)
            defer { unsafe memory.deallocate() }
            var (mine, before) = unsafe (stack_t(), stack_t())
            unsafe mine.ss_sp = unsafe memory
            unsafe mine.ss_size = 65_536
            unsafe sigaltstack(&mine, &before)
            defer { unsafe sigaltstack(&before, nil) }
            _ = try exhaust { world in
                world.thread("one") { Turn().turn.store(1, ordering: .relaxed) }
            }
            var after = unsafe stack_t()
            unsafe sigaltstack(nil, &after)
            #expect(unsafe after.ss_sp == memory && after.ss_size == 65_536)
        }
    }

    /// Runs `body` on a thread of its own.
    private func onThread(_ body: @escaping @Sendable () throws -> Void) throws {
        let failure = Mutex<(any Error)?>(nil)
        try WorldThread.spawn(name: "own") {
            do { try body() } catch { failure.withLock { $0 = error } }
        }.join()
        if let error = failure.withLock({ $0 }) { throw error }
    }

    @Test func `an exploration is not started by what hears of another`() throws {
        let failures = Outcomes()
        var options = ExplorationOptions()
        options.concluded = { _ in
            do { _ = try Exploration("inner") { _ in }.run() } catch { failures.insert("\(error)") }
        }
        _ = try Exploration("outer", options: options) { world in world.thread("one") {} }.run()
        #expect(failures.all == ["an exploration cannot be started from inside another one"])
    }

    @Test func `interleaved exclusive accesses stay apart, and a conflicting one still traps`()
        throws
    {
        final class Box: @unchecked Sendable {
            // Unchecked: the fibers' accesses interleave on purpose.
            var one = 0
            var two = 0
        }
        @Sendable @inline(never) func modify(_ value: inout Int, _ body: () -> Void) {
            body()
            value += 1
        }
        let report = try exhaust { world in
            let (turn, box) = (Turn(), Box())
            world.thread("one") {
                modify(&box.one) { turn.turn.wrappingAdd(1, ordering: .relaxed) }
            }
            world.thread("two") {
                modify(&box.two) { turn.turn.wrappingAdd(1, ordering: .relaxed) }
            }
        }
        #expect(report.executions == 2 && report.failed == 0)

        let conflicting = try exhaust { world in
            let box = Box()
            world.thread("nested") { modify(&box.one) { modify(&box.one) {} } }
        }
        #expect(conflicting.verdicts == [.trap: 1])
    }

    @Test func `an abandoned access is harmless`() throws {
        final class Box: @unchecked Sendable {
            // Unchecked: used by fibers of one thread.
            var value = 0
        }
        let box = Box()
        _ = try exhaust { world in
            world.thread("trapper") {
                func modify(_ value: inout Int) { quiesce_test_trap() }
                modify(&box.value)
            }
        }
        box.value += 1
        #expect(box.value == 1)
    }

    @Test func `thread-local variables are a fiber's own and are destroyed with it`() throws {
        final class Life: Sendable {
            let ends: @Sendable () -> Void
            init(_ ends: @escaping @Sendable () -> Void) { self.ends = ends }
            deinit { ends() }
        }
        final class Count: @unchecked Sendable {
            // Unchecked: used by fibers of one thread.
            var ended = 0
        }
        let count = Count()
        let report = try exhaust { world in
            let variable = ThreadLocal(Life { count.ended += 1 })
            for name in ["a", "b"] { world.thread(name) { variable.withValue { _ in } } }
        }
        #expect(count.ended == 2 * (report.executions + 1), "with the warm-up run")
    }

    @Test func `the world of an execution is its own`() throws {
        final class Singleton: Sendable { static let key = WorldKey<Singleton>() }
        let outside = World.process.value(Singleton.key) { Singleton() }
        let outcomes = Outcomes()
        _ = try exhaust { world in
            let first = World.current.value(Singleton.key) { Singleton() }
            outcomes.insert(first === outside ? "process" : "own")
            world.thread("other") {
                outcomes.insert(
                    World.current.value(Singleton.key) { Singleton() } === first
                        ? "shared" : "another")
            }
            outcomes.insert("\(World.current.processorCount) processors")
        }
        #expect(outcomes.all == ["own", "shared", "2 processors"])
        #expect(World.current === World.process)
    }
}
