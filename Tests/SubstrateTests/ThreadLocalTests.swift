// SPDX-License-Identifier: Apache-2.0

import Substrate
import TestSupport
import Testing

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

    // What follows depends on which numbers are free: each has a process of its own.

    @Test func `a new variable does not see the value of one that had its number`() async {
        await #expect(processExitsWith: .success) {
            let deaths = Counter()
            useOnce(deaths)
            precondition(deaths.count.load(ordering: .relaxed) == 0, "the thread keeps the value")
            // Of another type, at the same place of the thread's table.
            let next = ThreadLocal(7)
            precondition(next.withValue { $0 } == 7)
            precondition(deaths.count.load(ordering: .relaxed) == 1)
            useOnce(deaths)
            precondition(next.withValue { $0 } == 7)
        }
    }

    @Test func `a value outlives its variable until its thread ends`() async {
        await #expect(processExitsWith: .success) {
            try outliveVariable()
        }
    }

    @Test func `a predecessor's value may make variables and values when it is destroyed`() async {
        await #expect(processExitsWith: .success) {
            useOnceAndMakeManyAtEnd()
            let next = ThreadLocal("next")
            precondition(next.withValue { $0 } == "next")
            let last = ThreadLocal("last")
            precondition(last.withValue { $0 } == "last" && next.withValue { $0 } == "next")
        }
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
    let thread = try Thread.spawn {
        variable.withLock { $0?.withValue { _ in } }
        step.advance(to: 1)
        step.wait(for: 2)
        // The number is used again by now, by a variable that this thread does not use.
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

/// Forks while another thread makes variables.
private func forkWhileVariablesAreMade() throws {
    let variable = ThreadLocal(1)
    variable.withValue { $0 = 2 }
    let isOver = Atomic(false)
    let thread = try Thread.spawn {
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
