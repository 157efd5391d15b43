// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Testing

/// The spellings of an entry.
@Suite struct GateEntryTests {
    private struct Failure: Error {}

    @Test func `an optional result is not nested`() throws {
        let gate = Gate(name: "gate")
        let table = ["one": 1]
        let one: Int? = gate.withEntry { _ in table["one"] }
        let two = gate.withEntry { _ in table["two"] }
        #expect(one == 1)
        #expect(two == nil)
        try gate.close()
        let late = gate.withEntry { _ in table["one"] }
        #expect(late == nil)
    }

    @Test func `a closed gate throws where that is wanted`() throws {
        let gate = Gate(name: "gate")
        #expect(try gate.withEntryOrThrow { _ in 1 } == 1)
        #expect(throws: Failure.self) { try gate.withEntryOrThrow { _ in throw Failure() } }
        try gate.close()
        #expect(throws: QuiesceError.closed("gate")) {
            try gate.withEntryOrThrow { _ in Issue.record("it was called") }
        }
    }

    @Test func `a closed gate throws to a task where that is wanted`() async throws {
        let gate = Gate(name: "gate")
        let nothing: Int? = try await gate.withTaskEntryOrThrow { _ in
            await Task.yield()
            return Int?.none
        }
        #expect(nothing == nil)
        try await gate.close()
        await #expect(throws: QuiesceError.closed("gate")) {
            try await gate.withTaskEntryOrThrow { _ in Issue.record("it was called") }
        }
    }
}
