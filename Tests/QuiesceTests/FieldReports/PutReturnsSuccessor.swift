// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// `put` returns its successor: JCTools/JCTools #319.
@Suite struct PutReturnsSuccessor {
    private final class Slot: Sendable {
        let value = Atomic(0)
        let answers = [Answer(), Answer()]
        init() { value.label("slot") }

        func put(_ new: Int, retries: Bool) -> Int {
            while true {
                let found = value.load(ordering: .sequentiallyConsistent)
                if value.compareExchange(
                    expected: found, desired: new, ordering: .sequentiallyConsistent
                ).exchanged {
                    return found
                }
                if !retries { return value.load(ordering: .sequentiallyConsistent) }
            }
        }
    }

    private final class Answer: Sendable {
        let value = Atomic(0)
        init() { value.label("answer") }
    }

    private func program(retries: Bool) -> (ExploredWorld) -> Void {
        { world in
            let slot = Slot()
            for (index, new) in [2, 8].enumerated() {
                world.thread("putter of \(new)") {
                    slot.answers[index].value.store(
                        slot.put(new, retries: retries), ordering: .relaxed)
                }
            }
            world.afterwards {
                let answers = slot.answers.map { $0.value.load(ordering: .relaxed) }
                // One came first and found nothing, the other found what the first had put.
                let last = slot.value.load(ordering: .relaxed)
                expect(
                    answers == [0, 2] && last == 8 || answers == [8, 0] && last == 2,
                    "no order explains \(answers) and \(last)")
            }
        }
    }

    @Test func `the loser returns what came after its own`() throws {
        try expectFound(
            .expectation, shows: ["no order explains", ", not 0"],
            columns: ["putter of 2", "putter of 8"], program(retries: false))
    }

    @Test func `the loser tries again`() throws {
        try expectVerified(program(retries: true))
    }
}
