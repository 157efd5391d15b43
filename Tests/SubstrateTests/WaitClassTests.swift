// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

private struct Refused: Error, Equatable {}

@Suite struct WaitClassTests {
    private let gate = WaitClass("gate")

    @Test func `classes are told apart by their names`() {
        #expect(gate == WaitClass("gate"))
        #expect(gate != WaitClass("queue"))
        #expect(Set([gate, WaitClass("gate")]).count == 1)
    }

    @Test func `a section and a wait run their bodies`() {
        #expect(gate.section { gate.waiting { 7 } } == 7)
        #expect(throws: Refused()) { try gate.section { () throws(Refused) in throw Refused() } }
    }

    @Test func `an observer sees sections and waits begin and end in pairs`() {
        let observer = RecordingObserver()
        let queue = WaitClass("queue")
        observer.watch {
            gate.section { queue.waiting {} }
        }
        #expect(
            observer.waitEvents == [
                "section gate begins", "wait queue begins", "wait queue ends", "section gate ends",
            ])
    }

    @Test func `a body that throws ends its section and its wait`() {
        let observer = RecordingObserver()
        observer.watch {
            try? gate.section { () throws(Refused) in
                try gate.waiting { () throws(Refused) in throw Refused() }
            }
        }
        #expect(
            observer.waitEvents == [
                "section gate begins", "wait gate begins", "wait gate ends", "section gate ends",
            ])
    }
}
