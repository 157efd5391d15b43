// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@testable import Explorer

/// A counting semaphore, a kind of object that the explorer does not know: its machine is all that
/// it needs to be explored.
private struct Semaphore: ~Copyable, Sendable {
    private enum Operation {
        static let wait: UInt8 = 0
        static let tryWait: UInt8 = 1
        static let signal: UInt8 = 2
        static let read: UInt8 = 3
    }

    fileprivate static let machine = ObjectMachine(
        kind: "semaphore", orders: [.acquiring, .acquiring, .releasing, .relaxed],
        step: { operation, _, state in
            switch operation {
            case Operation.wait:
                state.low == 0 ? nil : .init(Bits(low: state.low - 1))
            case Operation.tryWait:
                state.low == 0 ? .init(state) : .init(Bits(low: state.low - 1), result: 1)
            case Operation.signal: .init(Bits(low: state.low + 1))
            default: .init(state, result: state.low)
            }
        },
        words: { operation, result, name in
            switch operation {
            case Operation.wait: "take \(name)"
            case Operation.tryWait: "try to take \(name): \(result == 1 ? "got it" : "none left")"
            case Operation.signal: "give \(name)"
            default: "\(name) has \(result)"
            }
        })

    private let initial: UInt64
    private let word: Substrate.Atomic<UInt64>

    init(_ count: UInt64) {
        initial = count
        word = Substrate.Atomic(count)
    }

    func label(_ name: String) { word.label(name) }

    private func perform(_ operation: UInt8, _ file: StaticString, _ line: UInt) -> UInt64 {
        let address = unsafe withUnsafePointer(to: word) { UInt(bitPattern: $0) }
        guard
            let result = Self.machine.perform(
                operation, at: address, from: Bits(low: initial), Site(file, line))
        else { fatalError("a test's semaphore works while it is explored") }
        return result
    }

    func wait(file: StaticString = #filePath, line: UInt = #line) {
        _ = perform(Operation.wait, file, line)
    }
    func tryWait(file: StaticString = #filePath, line: UInt = #line) -> Bool {
        perform(Operation.tryWait, file, line) == 1
    }
    func signal(file: StaticString = #filePath, line: UInt = #line) {
        _ = perform(Operation.signal, file, line)
    }
    func read(file: StaticString = #filePath, line: UInt = #line) -> UInt64 {
        perform(Operation.read, file, line)
    }
}

@Suite struct SemaphoreTests {
    private final class Shared: Sendable {
        let semaphore: Semaphore
        let other: Semaphore
        let value = Unsynchronized(0)
        let seen = Substrate.Atomic(0)
        init(_ count: UInt64) {
            semaphore = Semaphore(count)
            other = Semaphore(0)
            semaphore.label("semaphore")
            other.label("other")
            value.label("value")
            seen.label("seen")
        }
    }

    /// What a thread does with the semaphores: + gives, - takes, ? tries and counts its success,
    /// = reads; `g` gives the second one and `t` takes it.
    private func run(_ script: String, _ shared: Shared) {
        for character in script {
            switch character {
            case "+": shared.semaphore.signal()
            case "-": shared.semaphore.wait()
            case "g": shared.other.signal()
            case "t": shared.other.wait()
            case "?": if shared.semaphore.tryWait() { shared.seen.add(1, ordering: .relaxed) }
            default: _ = shared.semaphore.read()
            }
        }
    }

    @Test(
        arguments: [
            (1, ["-+", "-+", "-+"]), (0, ["-", "+", "?"]), (2, ["--", "-", "++"]),
            (1, ["?+", "?+", "="]), (0, ["-+", "+-", "="]), (1, ["-t", "-g", "+"]),
            (0, ["-g", "t+", "+?"]), (1, ["-?+", "?-", "+="]), (0, ["=", "=", "+"]),
        ] as [(UInt64, [String])])
    func `the reduction runs each trace once`(_ count: UInt64, _ scripts: [String]) {
        let program: (ExploredWorld) -> Void = { world in
            let shared = Shared(count)
            for script in scripts { world.thread(script) { self.run(script, shared) } }
        }
        let traces = TracedReduction.traces(program)
        #expect(Set(traces).count == traces.count, "a trace was run twice")
        #expect(Set(traces) == BruteForce.traces(program))
    }

    @Test func `steps that do not write commute, wherever they are taken`() {
        for first in UInt8(0)...3 {
            for second in UInt8(0)...3 {
                for count in UInt64(0)...3 {
                    let state = Bits(low: count)
                    guard let one = Semaphore.machine.apply(first, 0, to: state),
                        let two = Semaphore.machine.apply(second, 0, to: state),
                        one.state == state, two.state == state
                    else { continue }
                    #expect(Semaphore.machine.apply(first, 0, to: two.state)?.result == one.result)
                }
            }
        }
    }

    /// Two threads that each add one to a value behind a semaphore of `count`.
    private func adders(_ count: UInt64) throws -> ExplorationReport {
        try Exploration("adders") { world in
            let shared = Shared(count)
            for _ in 0..<2 {
                world.thread("adder") {
                    shared.semaphore.wait()
                    shared.value.withValue { $0 += 1 }
                    shared.semaphore.signal()
                }
            }
            world.afterwards { expect(shared.value.load() == 2) }
        }.run()
    }

    @Test func `a semaphore of one protects a value`() throws {
        let report = try adders(1)
        #expect(report.failed == 0 && report.executions == 2 && report.coverage == .all)
    }

    @Test func `what a semaphore of two lets in races`() throws {
        #expect(try adders(2).counterexample?.verdict.kind == .race)
    }

    @Test func `a semaphore that nobody gives is a deadlock, told in its words`() throws {
        let report = try Exploration("deadlock") { world in
            let shared = Shared(1)
            world.thread("first") {
                shared.semaphore.wait()
                shared.other.wait()
            }
            world.thread("second") { shared.semaphore.wait() }
        }.run()
        let found = try #require(report.counterexample)
        #expect(found.verdict.kind == .deadlock)
        #expect(found.verdict.sentence.contains("waits for other"), "\(found.verdict.sentence)")
        #expect(found.trace.rows.contains { $0.text == "take semaphore" }, "\(found.trace.rows)")
    }
}
