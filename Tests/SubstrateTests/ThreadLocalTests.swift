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
}

private let foreignDeaths = Counter()
private let foreign = ThreadLocal<Value?>(Value(foreignDeaths))

private final class AtEnd: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    deinit { body() }
}
