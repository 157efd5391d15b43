// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// One operation changed: whether it is met, and what becomes of it.
@Suite struct MutationTests {
    private final class Flags: Sendable {
        let flag = Atomic(0)
        let other = Atomic(0)
        let data = Unsynchronized(0)
        let lock = Mutex(0)
        let point = WaitPoint()
    }

    private func explore(
        _ mutation: Mutation?, _ body: @escaping (ExploredWorld, Flags) -> Void
    ) throws -> ExplorationReport {
        var options = ExplorationOptions()
        options.mutation = mutation
        return try Exploration("mutation", options: options) { world in body(world, Flags()) }.run()
    }

    private func publish(_ world: ExploredWorld, _ flags: Flags) {
        world.thread("writer") {
            flags.data.store(1)
            flags.flag.store(1, ordering: .releasing)  // publishes
        }
        world.thread("reader") {
            if flags.flag.load(ordering: .acquiring) == 1 { _ = flags.data.load() }  // looks
        }
    }

    @Test func `nothing is changed unless it is asked for`() throws {
        let report = try explore(nil, publish)
        #expect(report.failed == 0 && report.mutations == 0)
    }

    @Test func `a mutation that meets nothing says so`() throws {
        let report = try explore(Mutation("MutationTests.swift", "no such line", .skipped), publish)
        #expect(report.failed == 0 && report.mutations == 0)
    }

    @Test(arguments: [
        Mutation("MutationTests.swift", "// publishes", .relaxed),
        Mutation("MutationTests.swift", "// looks", .relaxed, of: .load),
        Mutation("MutationTests.swift", "// looks", .sees(1), of: .load),
    ])
    func `a weaker order or a wrong value is a race`(_ mutation: Mutation) throws {
        let report = try explore(mutation, publish)
        #expect(report.verdicts == [.race: 1] && report.mutations > 0)
    }

    @Test func `a skipped wake-up is lost`() throws {
        let report = try explore(Mutation("MutationTests.swift", "// wakes", .skipped)) {
            world, flags in
            world.thread("waiter") {
                while flags.point.word.load(ordering: .acquiring) == 0 {
                    flags.point.wait(while: 0)
                }
            }
            world.thread("waker") {
                flags.point.word.store(1, ordering: .releasing)
                flags.point.wake()  // wakes
            }
        }
        #expect(report.verdicts == [.lostWakeUp: 1])
    }

    @Test func `a skipped update says that it happened`() throws {
        let report = try explore(Mutation("MutationTests.swift", "// counts", .skipped)) {
            world, flags in
            let new = flags.flag.wrappingAdd(1, ordering: .relaxed).newValue  // counts
            expect(new == 1)
            world.afterwards { expect(flags.flag.load(ordering: .relaxed) == 0) }
        }
        #expect(report.failed == 0 && report.mutations > 0)
    }

    @Test func `an unconditional exchange takes what it finds`() throws {
        let report = try explore(Mutation("MutationTests.swift", "// exchanges", .unconditional)) {
            world, flags in
            let (isMine, _) = flags.flag.compareExchange(  // exchanges
                expected: 7, desired: 9, ordering: .relaxed)
            expect(isMine)
            world.afterwards { expect(flags.flag.load(ordering: .relaxed) == 9) }
        }
        #expect(report.failed == 0 && report.mutations > 0)
    }

    @Test func `a skipped lock protects nothing`() throws {
        let report = try explore(Mutation("MutationTests.swift", "// locks", .skipped)) {
            world, flags in
            for name in ["one", "other"] {
                world.thread(name) {
                    flags.lock.withLock { _ in  // locks
                        flags.data.store(1)
                    }
                }
            }
        }
        #expect(report.verdicts == [.race: 1])
    }

    @Test func `a buffered store is passed by the load behind it`() throws {
        let dekker: (ExploredWorld, Flags) -> Void = { world, flags in
            world.thread("one") {
                flags.flag.store(1, ordering: .sequentiallyConsistent)  // raises
                if flags.other.load(ordering: .sequentiallyConsistent) == 0 { flags.data.store(1) }
            }
            world.thread("other") {
                flags.other.store(1, ordering: .sequentiallyConsistent)
                if flags.flag.load(ordering: .sequentiallyConsistent) == 0 { flags.data.store(2) }
            }
        }
        #expect(try explore(nil, dekker).failed == 0)
        let report = try explore(Mutation("MutationTests.swift", "// raises", .buffered), dekker)
        #expect(report.verdicts == [.race: 1])
    }
}

/// Threads that are asked for while others start.
@Suite struct ThreadStepTests {
    private final class Door: Sendable {
        let state = Atomic<UInt64>(0)
        let room = Unsynchronized(0)

        func enter() {
            guard
                case .announced(let announcement) = Presence.enter(
                    0x1000, unless: state, has: 1, section: WaitClass(.gate), "door")
            else { return }
            _ = room.load()
            _ = Presence.leave(
                announcement, of: 0x1000, andTellWhether: state, has: 1, section: WaitClass(.gate),
                "door")
        }

        func close() {
            state.store(1, ordering: .sequentiallyConsistent)
            while true {
                membarrier()
                if !Presence.isAnyoneInside(0x1000) { break }
                spin(while: { Presence.isAnyoneInside(0x1000) })
            }
            room.store(1)
        }
    }

    @Test func `a thread that starts while another looks for threads is explored`() throws {
        let report = try Exploration("starting") { world in
            let door = Door()
            world.thread("closer") { door.close() }
            // Between the start of one and of the other the closer may run.
            world.thread("visitor") { door.enter() }
        }.run()
        #expect(report.failed == 0 && report.coverage == .all && report.blocked == 0)
    }

    @Test func `a counterexample with starting threads replays`() throws {
        let exploration = Exploration("never closed") { world in
            let door = Door()
            world.thread("closer") {
                membarrier()
                if !Presence.isAnyoneInside(0x1000) { door.room.store(1) }
            }
            world.thread("visitor") { door.enter() }
        }
        let found = try #require(try exploration.run().counterexample)
        #expect(found.verdict.kind == .race)
        #expect(try exploration.replay(found.token)?.verdict.kind == .race)
    }

    /// Closes, and so looks for threads, only where the flag was seen.
    private func late(_ world: ExploredWorld, fails: Bool) {
        let flag = Atomic<UInt32>.Shared()
        world.thread("closer") {
            if flag.value.load(ordering: .sequentiallyConsistent) == 1 {
                _ = Presence.isAnyoneInside(0x1000)
                expect(!fails, "seen")
            }
        }
        world.thread("raiser") {
            let other = try? WorldThread.spawn(name: "other") {
                flag.value.store(1, ordering: .sequentiallyConsistent)
            }
            flag.value.store(0, ordering: .sequentiallyConsistent)
            other?.join()
        }
    }

    @Test(arguments: [ExplorationOptions.Strategy.optimal, .depthFirst])
    func `an exploration that first looks for threads in a later execution begins anew`(
        _ strategy: ExplorationOptions.Strategy
    ) throws {
        let sound = try Exploration("late", options: ExplorationOptions(strategy: strategy)) {
            late($0, fails: false)
        }
        .run()
        #expect(sound.failed == 0 && sound.coverage == .all && sound.blocked == 0)
        let exploration = Exploration("late", options: ExplorationOptions(strategy: strategy)) {
            late($0, fails: true)
        }
        let found = try #require(try exploration.run().counterexample)
        #expect(try exploration.replay(found.token)?.verdict.kind == .expectation)
    }

    @Test func `barriers of two threads commute`() throws {
        let report = try Exploration("barriers") { world in
            for name in ["one", "other"] { world.thread(name) { membarrier() } }
        }.run()
        #expect(report.executions == 1)
    }

    @Test func `a program that asks for a thread's name is told it in every execution`() throws {
        let report = try Exploration("names") { world in
            let number = Atomic<UInt32>.Shared()
            world.thread("named") { number.value.store(World.currentThread, ordering: .releasing) }
            world.thread("asker") {
                let found = number.value.load(ordering: .acquiring)
                if found != 0 { expect(World.name(ofThread: found) == "named") }
            }
        }.run()
        #expect(report.failed == 0 && report.executions == 2)
    }
}

extension Atomic where Value == UInt32 {
    fileprivate final class Shared: Sendable {
        let value = Atomic<UInt32>(0)
    }
}
