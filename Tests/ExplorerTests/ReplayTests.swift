// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@testable import Explorer

/// Tokens carry a schedule to another run.
@Suite struct ReplayTests {
    final class State: Sendable {
        let flag = Atomic(0)
        let lock = Mutex(())
        let condition = Condition()
    }

    private static var lost: Exploration {
        Exploration("lost wake-up") { world in
            let state = State()
            for name in ["first", "second"] {
                world.thread(name) {
                    if state.flag.load(ordering: .acquiring) == 0 {
                        state.lock.lock()
                        state.condition.wait(state.lock)
                        state.lock.unlock()
                    }
                }
            }
            world.thread("waker") {
                state.flag.store(1, ordering: .releasing)
                state.lock.lock()
                state.condition.signal()
                state.condition.signal()
                state.lock.unlock()
            }
        }
    }

    @Test func `a token runs the schedule that it was made of`() throws {
        let found = try #require(try Self.lost.run().counterexample)
        let read = try ReplayToken("\(found.token)")
        #expect(read == found.token)
        #expect(read.belongs(to: "lost wake-up") && !read.belongs(to: "another"))
        let again = try #require(try Self.lost.replay(read))
        #expect(again.verdict.kind == .lostWakeUp)
        #expect(again.token == found.token)
        #expect(again.trace.rows.map(\.text) == found.trace.rows.map(\.text))
    }

    @Test func `tokens are read as they are written`() throws {
        let steps = [
            ScheduleStep(thread: 0), ScheduleStep(thread: 0), ScheduleStep(thread: 2, choice: 1),
            ScheduleStep(thread: 2), ScheduleStep(thread: 1, isFlush: true),
            ScheduleStep(thread: 1),
        ]
        let token = ReplayToken(test: "some test", steps: steps)
        #expect(try ReplayToken("\(token)").steps == steps)
        for step in steps { #expect(ScheduleStep(encoded: step.encoded) == step) }
    }

    @Test func `every damaged token is refused`() throws {
        let text =
            "\(ReplayToken(test: "some test", steps: [ScheduleStep(thread: 0), ScheduleStep(thread: 12, choice: 3)]))"
        for end in 0..<text.count {
            #expect(throws: ReplayToken.ParseError.self) {
                try ReplayToken(String(text.prefix(end)))
            }
        }
        for index in text.indices {
            var changed = text
            changed.replaceSubrange(index...index, with: text[index] == "1" ? "2" : "1")
            if changed != text {
                #expect(throws: ReplayToken.ParseError.self) { try ReplayToken(changed) }
            }
        }
    }

    @Test func `a schedule that does not fit says at which step and how`() throws {
        let token = ReplayToken(
            test: "lost wake-up", steps: [ScheduleStep(thread: 1), ScheduleStep(thread: 9)])
        #expect {
            try Self.lost.replay(token)
        } throws: { error in
            "\(error)".contains("at step 2 the schedule has a step of thread 9")
        }
    }

    @Test func `explore throws what it found, and returns what it verified`() throws {
        let failure = #expect(throws: ExplorationFailure.self) {
            try explore("explored") { world in
                let state = State()
                world.thread("a") { state.flag.store(1, ordering: .relaxed) }
                world.afterwards {
                    expect(state.flag.load(ordering: .relaxed) == 0, "the flag is set")
                }
            }
        }
        let text = try #require(failure).description
        #expect(text.contains("QUIESCE_REPLAY=") && text.contains("ReplayTests.swift"))
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 100 })
        let report = try explore("explored") { world in world.thread("a") {} }
        #expect(report.executions == 1 && report.coverage == .all)
    }
}
