// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import Substrate

private final class Value: Sendable {
    let deaths: Counter
    init(_ deaths: Counter) { self.deaths = deaths }
    deinit { deaths.count.add(1, ordering: .relaxed) }
}

private struct Refused: Error, Equatable {}

@Suite struct ThreadLocalTests {
    @Test func `every thread has its own value`() throws {
        let variable = ThreadLocal(0)
        let wrong = Atomic<Int>(0)
        variable.withValue { $0 = -1 }
        try together(4) { index in
            if variable.withValue({ $0 }) != 0 { wrong.add(1, ordering: .relaxed) }
            for _ in 0...index { variable.withValue { $0 += 1 } }
            if variable.withValue({ $0 }) != index + 1 { wrong.add(1, ordering: .relaxed) }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(variable.withValue { $0 } == -1)
    }

    @Test func `a value is made at its first use, once a thread`() throws {
        let made = Counter()
        let variable = ThreadLocal(made.count.add(1, ordering: .relaxed).newValue)
        #expect(made.count.load(ordering: .relaxed) == 0)
        try together(3) { _ in
            variable.withValue { _ in }
            variable.withValue { _ in }
        }
        #expect(made.count.load(ordering: .relaxed) == 3)
    }

    @Test func `a value is destroyed when its thread ends`() throws {
        let deaths = Counter()
        let variable = ThreadLocal<Value?>(Value(deaths))
        try together(3) { _ in variable.withValue { _ in } }
        #expect(deaths.count.load(ordering: .relaxed) == 3)
        variable.withValue { $0 = nil }
        #expect(deaths.count.load(ordering: .relaxed) == 4)
    }

    @Test func `a value of a foreign thread is destroyed when that ends`() async {
        await #expect(processExitsWith: .success) {
            onForeignThread {
                foreign.withValue { _ in }
            }
            precondition(foreignDeaths.count.load(ordering: .relaxed) == 1)
            precondition(World.process.registeredThreadCount == 0)
        }
    }

    @Test func `a variable may be used while another is in use`() {
        let outer = ThreadLocal(1)
        let inner = ThreadLocal(2)
        let sum = outer.withValue { first in
            inner.withValue { second in
                first += 10
                second += 20
                return first + second
            }
        }
        #expect(sum == 33)
        #expect(outer.withValue { $0 } == 11)
        #expect(inner.withValue { $0 } == 22)
    }

    @Test func `variables made while one is in use do not disturb it`() {
        let outer = ThreadLocal([1])
        outer.withValue { value in
            for index in 0..<100 { ThreadLocal(index).withValue { value.append($0) } }
        }
        #expect(outer.withValue { $0.count } == 101)
    }

    @Test func `an error passes through`() {
        let variable = ThreadLocal(0)
        #expect(throws: Refused()) {
            try variable.withValue { value throws(Refused) in
                value = 5
                throw Refused()
            }
        }
        #expect(variable.withValue { $0 } == 5)
    }

    @Test func `a value may use another variable and a lock when it is destroyed`() throws {
        let deaths = Counter()
        let other = ThreadLocal<Value?>(Value(deaths))
        let lock = Mutex(0)
        let variable = ThreadLocal<AtEnd>(
            AtEnd {
                other.withValue { _ in }
                lock.withLock { $0 += 1 }
            })
        try together(2) { _ in variable.withValue { _ in } }
        #expect(lock.withLock { $0 } == 2)
        #expect(deaths.count.load(ordering: .relaxed) == 2)
    }

    // MARK: Variables that end

    @Test func `a value ends with its variable on the thread that lets go of it`() {
        let deaths = Counter()
        useOnce(deaths)
        #expect(deaths.count.load(ordering: .relaxed) == 1)
        let next = ThreadLocal(7)
        #expect(next.withValue { $0 } == 7)
        useOnce(deaths)
        #expect(next.withValue { $0 } == 7)
        #expect(deaths.count.load(ordering: .relaxed) == 2)
    }

    @Test func `another thread's value outlives its variable`() async {
        await #expect(processExitsWith: .success) {
            try outliveVariable()
        }
    }

    @Test func `a value may make variables and values when its variable ends`() {
        useOnceAndMakeManyAtEnd()
        let next = ThreadLocal("next")
        #expect(next.withValue { $0 } == "next")
        let last = ThreadLocal("last")
        #expect(last.withValue { $0 } == "last" && next.withValue { $0 } == "next")
    }

    @Test func `a million variables, one after the other, leave room for a few`() async {
        await #expect(processExitsWith: .success) {
            let deaths = Counter()
            for _ in 0..<1_000_000 { useOnce(deaths) }
            precondition(deaths.count.load(ordering: .relaxed) == 1_000_000)
            let table = ThreadLocalTable.current()
            precondition(table.count == 0 && table.capacity == 8)
        }
    }

    @Test func `variables that were there at once leave room for a few`() async {
        await #expect(processExitsWith: .success) {
            let deaths = Counter()
            var variables = (0..<10_000).map { _ in ThreadLocal<Value?>(Value(deaths)) }
            for variable in variables { variable.withValue { _ in } }
            let table = ThreadLocalTable.current()
            precondition(table.count == 10_000 && table.capacity == 1 << 15)
            // The last one stays.
            variables.removeSubrange(..<9_999)
            precondition(deaths.count.load(ordering: .relaxed) == 9_999)
            precondition(table.count == 1 && table.capacity == 8)
            precondition(variables[0].withValue { $0 } != nil)
        }
    }

    @Test func `a thread that makes values destroys those whose variables are gone`() async {
        await #expect(processExitsWith: .success) { try makeValueAfterManyEnded() }
    }

    @Test func `variables that come and go keep their values`() {
        var alive: [(variable: ThreadLocal<Int>, value: Int)] = []
        var random = SystemRandomNumberGenerator()
        for round in 0..<5_000 {
            // Up to about a hundred, then down to a few.
            let comes = round / 200 % 2 == 0 ? 3 : 1
            if alive.isEmpty || Int.random(in: 0..<4, using: &random) < comes {
                let variable = ThreadLocal(round)
                alive.append((variable, variable.withValue { $0 }))
            } else {
                alive.remove(at: .random(in: alive.indices, using: &random))
            }
            for (variable, value) in alive { precondition(variable.withValue { $0 } == value) }
        }
        let table = ThreadLocalTable.current()
        #expect(table.count >= alive.count && table.capacity <= max(16 * table.count, 8))
    }

    @Test func `many variables live beside each other`() throws {
        let variables = (0..<100).map { ThreadLocal($0) }
        try together(2) { index in
            for variable in variables.reversed() { variable.withValue { $0 += index } }
            let sum = variables.reduce(0) { $0 + $1.withValue { $0 } }
            precondition(sum == 4950 + 100 * index)
        }
        #expect(variables[99].withValue { $0 } == 99)
    }

    @Test func `a variable that is used inside of its own use traps`() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            let variable = ThreadLocal(0)
            variable.withValue { _ in variable.withValue { _ in } }
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("inside of its own withValue"))
    }

    @Test func `threads make and lose variables at once`() throws {
        try together(4) { index in
            for round in 0..<500 {
                let variable = ThreadLocal(round)
                variable.withValue { $0 += index }
                precondition(variable.withValue { $0 } == round + index)
            }
        }
    }

    @Test func `a forked child makes variables`() async {
        await #expect(processExitsWith: .success) {
            try forkWhileVariablesAreMade()
        }
    }
}

private func useOnce(_ deaths: Counter) {
    ThreadLocal<Value?>(Value(deaths)).withValue { _ in }
}

private func useOnceAndMakeManyAtEnd() {
    let variable = ThreadLocal<AtEnd>(
        AtEnd {
            let variables = (0..<100).map { ThreadLocal($0) }
            for variable in variables { variable.withValue { $0 += 1 } }
        })
    variable.withValue { _ in }
}

private let foreignDeaths = Counter()
private let foreign = ThreadLocal<Value?>(Value(foreignDeaths))

private final class AtEnd: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    deinit { body() }
}

private func outliveVariable() throws {
    let deaths = Counter()
    let step = WaitPoint.Shared()
    let variable = Mutex<ThreadLocal<Value?>?>(nil)
    variable.withLock { $0 = ThreadLocal(Value(deaths)) }
    let thread = try WorldThread.spawn {
        variable.withLock { $0?.withValue { _ in } }
        step.advance(to: 1)
        step.wait(for: 2)
        // This thread has made no value since.
        precondition(deaths.count.load(ordering: .relaxed) == 0)
    }
    step.wait(for: 1)
    variable.withLock { $0 = nil }
    let next = ThreadLocal(1)
    next.withValue { $0 += 1 }
    step.advance(to: 2)
    thread.join()
    precondition(deaths.count.load(ordering: .relaxed) == 1)
}

/// A thread uses variables that others let go of, and then makes a value.
private func makeValueAfterManyEnded() throws {
    let deaths = Counter()
    let step = WaitPoint.Shared()
    let variables = Mutex((0..<1_000).map { _ in ThreadLocal<Value?>(Value(deaths)) })
    let last = ThreadLocal(0)
    let thread = try WorldThread.spawn {
        variables.withLock { for variable in $0 { variable.withValue { _ in } } }
        step.advance(to: 1)
        step.wait(for: 2)
        precondition(deaths.count.load(ordering: .relaxed) == 0)
        last.withValue { _ in }
        precondition(deaths.count.load(ordering: .relaxed) == 1_000)
        let table = ThreadLocalTable.current()
        precondition(table.count == 1 && table.capacity <= 16)
    }
    step.wait(for: 1)
    variables.withLock { $0 = [] }
    step.advance(to: 2)
    thread.join()
}

/// Forks while another thread makes variables.
private func forkWhileVariablesAreMade() throws {
    let variable = ThreadLocal(1)
    variable.withValue { $0 = 2 }
    let isOver = Atomic(false)
    let thread = try WorldThread.spawn {
        while !isOver.load(ordering: .relaxed) { ThreadLocal(0).withValue { $0 += 1 } }
    }
    for _ in 0..<50 {
        let status = forkedChild {
            precondition(variable.withValue { $0 } == 2)
            precondition(ThreadLocal(3).withValue { $0 } == 3)
        }
        precondition(status == 0)
    }
    isOver.store(true, ordering: .relaxed)
    thread.join()
}
