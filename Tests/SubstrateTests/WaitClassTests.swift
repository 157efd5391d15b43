// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

private struct Refused: Error, Equatable {}

@Suite struct WaitClassTests {
    private let gate = WaitClass(.gate)

    @Test func `classes are told apart by what is waited for and where it was made`() {
        let made = (0..<2).map { _ in WaitClass(.gate) }
        #expect(made[0] == made[1])
        #expect(gate != made[0])
        #expect(WaitClass(.workQueue, gate.site) != gate)
        #expect(Set([gate, WaitClass(.gate, gate.site)]).count == 1)
        #expect(gate.site.file.hasSuffix("WaitClassTests.swift"))
    }

    @Test func `a section and a wait run their bodies`() {
        #expect(gate.section("gate") { gate.waiting("gate") { 7 } } == 7)
        #expect(throws: Refused()) {
            try gate.section("gate") { () throws(Refused) in throw Refused() }
        }
    }

    @Test func `nobody is asked for a name where nobody watches`() {
        var isAsked = false
        func name() -> String {
            isAsked = true
            return "gate"
        }
        gate.section(name()) { gate.waiting(name()) {} }
        #expect(!isAsked)
    }

    @Test func `an observer sees sections and waits begin and end in pairs`() {
        let observer = RecordingObserver()
        let queue = WaitClass(.workQueue)
        observer.watch {
            gate.section("gate") { queue.waiting("queue") {} }
        }
        #expect(
            observer.waitEvents == [
                "section gate begins", "wait queue begins", "wait queue ends", "section gate ends",
            ])
    }

    @Test func `a body that throws ends its section and its wait`() {
        let observer = RecordingObserver()
        observer.watch {
            try? gate.section("gate") { () throws(Refused) in
                try gate.waiting("gate") { () throws(Refused) in throw Refused() }
            }
        }
        #expect(
            observer.waitEvents == [
                "section gate begins", "wait gate begins", "wait gate ends", "section gate ends",
            ])
    }

    @Test func `joining a thread and waiting on a condition are declared`() throws {
        let observer = RecordingObserver()
        let mutex = Mutex(())
        let condition = Condition()
        observer.watch {
            let thread = try? WorldThread.spawn(name: "reader") {}
            thread?.join()
            mutex.lock()
            condition.wait(mutex)
            mutex.unlock()
        }
        #expect(
            observer.waitEvents == [
                "wait the end of reader begins", "wait the end of reader ends",
                "wait a condition begins", "wait a condition ends",
            ])
    }

    @Test func `a task's section belongs to the task`() async {
        let observer = RecordingObserver()
        let task = Task {
            observer.watch {
                let owner = gate.beginOfTask("gate")
                gate.end(ofTask: owner, "gate")
                return owner
            }
        }
        #expect(await task.value != 0)
        #expect(observer.waitEvents == ["task's section gate begins", "task's section gate ends"])
        #expect(gate.beginOfTask("gate") == 0, "nobody watches")
    }
}
