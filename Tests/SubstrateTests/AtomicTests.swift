// SPDX-License-Identifier: Apache-2.0

import Substrate
import Synchronization
import TestSupport
import Testing

private typealias Atomic = Substrate.Atomic

private enum Color: UInt8, AtomicRepresentable, Sendable {
    case red, green, blue
}

@Suite struct AtomicTests {
    // MARK: Integers

    @Test func `every integer type computes as the standard library does`() {
        checkInteger(Int.self)
        checkInteger(Int8.self)
        checkInteger(Int16.self)
        checkInteger(Int32.self)
        checkInteger(Int64.self)
        checkInteger(UInt.self)
        checkInteger(UInt8.self)
        checkInteger(UInt16.self)
        checkInteger(UInt32.self)
        checkInteger(UInt64.self)
    }

    @Test func `every integer type is loaded, stored and exchanged whole`() {
        checkAccess(Int.min, .max, 7)
        checkAccess(Int8.min, .max, 7)
        checkAccess(Int16.min, .max, 7)
        checkAccess(Int32.min, .max, 7)
        checkAccess(Int64.min, .max, 7)
        checkAccess(UInt.min, .max, 7)
        checkAccess(UInt8.min, .max, 7)
        checkAccess(UInt16.min, .max, 7)
        checkAccess(UInt32.min, .max, 7)
        checkAccess(UInt64.min, .max, 7)
    }

    @Test func `an 8-bit atomic agrees with the standard library on every pair of values`() {
        let ours = Atomic<Int8>(0)
        let standard = Synchronization.Atomic<Int8>(0)
        var same = true
        for value in Int8.min...Int8.max {
            for operand in Int8.min...Int8.max {
                ours.store(value, ordering: .relaxed)
                standard.store(value, ordering: .relaxed)
                same =
                    same
                    && ours.wrappingAdd(operand, ordering: .relaxed)
                        == standard.wrappingAdd(operand, ordering: .relaxed)
                    && ours.wrappingSubtract(operand, ordering: .relaxed)
                        == standard.wrappingSubtract(operand, ordering: .relaxed)
                    && ours.bitwiseXor(operand, ordering: .relaxed)
                        == standard.bitwiseXor(operand, ordering: .relaxed)
                    && ours.min(operand, ordering: .relaxed)
                        == standard.min(operand, ordering: .relaxed)
                    && ours.bitwiseOr(operand, ordering: .relaxed)
                        == standard.bitwiseOr(operand, ordering: .relaxed)
                    && ours.max(operand, ordering: .relaxed)
                        == standard.max(operand, ordering: .relaxed)
                    && ours.bitwiseAnd(operand, ordering: .relaxed)
                        == standard.bitwiseAnd(operand, ordering: .relaxed)
                    && ours.load(ordering: .relaxed) == standard.load(ordering: .relaxed)
            }
        }
        #expect(same)
    }

    @Test func `every order of an update gives the same values`() {
        let atomic = Atomic<Int>(0)
        atomic.wrappingAdd(1, ordering: .relaxed)
        atomic.wrappingAdd(1, ordering: .acquiring)
        atomic.wrappingAdd(1, ordering: .releasing)
        atomic.wrappingAdd(1, ordering: .acquiringAndReleasing)
        atomic.wrappingAdd(1, ordering: .sequentiallyConsistent)
        #expect(atomic.load(ordering: .sequentiallyConsistent) == 5)
        #expect(atomic.compareExchange(expected: 5, desired: 6, ordering: .relaxed) == (true, 5))
        #expect(atomic.compareExchange(expected: 6, desired: 7, ordering: .acquiring) == (true, 6))
        #expect(atomic.compareExchange(expected: 7, desired: 8, ordering: .releasing) == (true, 7))
        #expect(
            atomic.compareExchange(expected: 8, desired: 9, ordering: .acquiringAndReleasing) == (
                true, 8
            ))
        #expect(
            atomic.compareExchange(expected: 9, desired: 10, ordering: .sequentiallyConsistent) == (
                true, 9
            ))
        #expect(
            atomic.compareExchange(expected: 9, desired: 11, ordering: .sequentiallyConsistent) == (
                false, 10
            ))
    }

    @Test func `an addition that overflows traps`() async {
        await #expect(processExitsWith: .failure) {
            let atomic = Substrate.Atomic<UInt8>(255)
            atomic.add(1, ordering: .relaxed)
        }
    }

    @Test func `a subtraction that overflows traps`() async {
        await #expect(processExitsWith: .failure) {
            let atomic = Substrate.Atomic<Int16>(.min)
            atomic.subtract(1, ordering: .relaxed)
        }
    }

    @Test func `additions of many threads are all counted`() throws {
        let count = Atomic<Int>(0)
        let largest = Atomic<Int>(0)
        try together(4) { index in
            for round in 0..<1000 {
                count.add(1, ordering: .relaxed)
                largest.max(index * 1000 + round, ordering: .relaxed)
            }
        }
        #expect(count.load(ordering: .relaxed) == 4000)
        #expect(largest.load(ordering: .relaxed) == 3999)
    }

    // MARK: Other values

    @Test func `a boolean follows the truth tables`() {
        for value in [false, true] {
            for operand in [false, true] {
                let atomic = Atomic<Bool>(value)
                #expect(atomic.logicalAnd(operand, ordering: .relaxed) == (value, value && operand))
                atomic.store(value, ordering: .relaxed)
                #expect(atomic.logicalOr(operand, ordering: .relaxed) == (value, value || operand))
                atomic.store(value, ordering: .relaxed)
                #expect(atomic.logicalXor(operand, ordering: .relaxed) == (value, value != operand))
                #expect(atomic.load(ordering: .relaxed) == (value != operand))
            }
        }
        checkAccess(false, true, false)
    }

    @Test func `a word pair is exchanged whole`() {
        checkAccess(
            WordPair(first: 1, second: 2), WordPair(first: 3, second: 4),
            WordPair(first: 1, second: 4))
    }

    @Test func `a word pair is never seen half written`() throws {
        let pair = Atomic(WordPair(first: 0, second: 0))
        let torn = Atomic<Bool>(false)
        try together(4) { index in
            for _ in 0..<1000 {
                if index % 2 == 0 {
                    let old = pair.load(ordering: .acquiring)
                    pair.compareExchange(
                        expected: old,
                        desired: WordPair(first: old.first &+ 1, second: old.second &+ 1),
                        ordering: .acquiringAndReleasing)
                } else {
                    let seen = pair.load(ordering: .acquiring)
                    if seen.first != seen.second { torn.store(true, ordering: .relaxed) }
                }
            }
        }
        #expect(torn.load(ordering: .relaxed) == false)
    }

    @Test func `an optional pointer is null or itself`() {
        let first = UnsafeMutablePointer<Int>.allocate(capacity: 2)
        defer { unsafe first.deallocate() }
        let second = unsafe first + 1
        let atomic = unsafe Atomic<UnsafeMutablePointer<Int>?>(nil)
        let (done, before) = unsafe atomic.compareExchange(
            expected: nil, desired: first, ordering: .acquiring)
        let (doneAgain, found) = unsafe atomic.compareExchange(
            expected: nil, desired: second, ordering: .acquiring)
        let exchanged = unsafe atomic.exchange(second, ordering: .acquiringAndReleasing)
        unsafe atomic.store(nil, ordering: .releasing)
        let last = unsafe atomic.load(ordering: .acquiring)
        let areRight = unsafe [before == nil, found == first, exchanged == first, last == nil]
        #expect(areRight == [true, true, true, true])
        #expect([done, doneAgain] == [true, false])
    }

    @Test func `an enumeration with a raw value is atomic`() {
        checkAccess(Color.red, .green, .blue)
    }

    @Test func `an atomic is as large and as aligned as the standard library's`() {
        checkLayout(Int8.self)
        checkLayout(Int16.self)
        checkLayout(Int32.self)
        checkLayout(Int64.self)
        checkLayout(UInt.self)
        checkLayout(Bool.self)
        checkLayout(WordPair.self)
        checkLayout(Color.self)
        unsafe checkLayout(UnsafeRawPointer?.self)
    }
}

// MARK: - What every type must do

private func checkLayout<Value: AtomicRepresentable>(_ type: Value.Type)
where Value.AtomicRepresentation: AtomicWord {
    typealias Standard = MemoryLayout<Synchronization.Atomic<Value>>
    typealias Ours = MemoryLayout<Substrate.Atomic<Value>>
    #expect(Ours.size == Standard.size, "\(type)")
    #expect(Ours.stride == Standard.stride, "\(type)")
    #expect(Ours.alignment == Standard.alignment, "\(type)")
}

private func checkAccess<Value: AtomicRepresentable & Equatable & Sendable>(
    _ a: Value, _ b: Value, _ c: Value
)
where Value.AtomicRepresentation: AtomicWord {
    let atomic = Substrate.Atomic<Value>(a)
    #expect(atomic.load(ordering: .relaxed) == a)
    #expect(atomic.load(ordering: .acquiring) == a)
    #expect(atomic.load(ordering: .sequentiallyConsistent) == a)
    atomic.store(b, ordering: .relaxed)
    #expect(atomic.load(ordering: .relaxed) == b)
    atomic.store(c, ordering: .releasing)
    #expect(atomic.load(ordering: .relaxed) == c)
    atomic.store(a, ordering: .sequentiallyConsistent)
    #expect(atomic.load(ordering: .relaxed) == a)
    atomic.storeAsymmetric(c)
    #expect(atomic.load(ordering: .relaxed) == c)
    #expect(atomic.exchange(b, ordering: .acquiringAndReleasing) == c)

    let failed = atomic.compareExchange(
        expected: a, desired: c, successOrdering: .acquiringAndReleasing,
        failureOrdering: .acquiring)
    #expect(failed == (false, b))
    let done = atomic.compareExchange(
        expected: b, desired: c, successOrdering: .sequentiallyConsistent, failureOrdering: .relaxed
    )
    #expect(done == (true, b))
    let weak = atomic.weakCompareExchange(
        expected: b, desired: a, successOrdering: .releasing, failureOrdering: .relaxed)
    #expect(weak == (false, c))
    var exchanged = false
    while !exchanged {
        exchanged =
            atomic.weakCompareExchange(
                expected: c, desired: a, successOrdering: .acquiring, failureOrdering: .acquiring
            ).exchanged
    }
    #expect(atomic.load(ordering: .relaxed) == a)
}

private func checkInteger<Value: AtomicInteger & Sendable>(_ type: Value.Type) {
    let samples: [Value] = [.min, .min + 1, 0, 1, 5, 0x55, .max / 2, .max - 1, .max]
    let atomic = Substrate.Atomic<Value>(0)
    for value in samples {
        for operand in samples {
            func check(
                _ result: (oldValue: Value, newValue: Value), _ expected: Value, _ name: String
            ) {
                #expect(result == (value, expected), "\(type).\(name)(\(value), \(operand))")
                #expect(
                    atomic.exchange(value, ordering: .relaxed) == expected,
                    "\(type).\(name)(\(value), \(operand))")
            }
            atomic.store(value, ordering: .relaxed)
            check(atomic.wrappingAdd(operand, ordering: .relaxed), value &+ operand, "wrappingAdd")
            check(
                atomic.wrappingSubtract(operand, ordering: .acquiring), value &- operand,
                "wrappingSubtract")
            check(atomic.bitwiseAnd(operand, ordering: .releasing), value & operand, "bitwiseAnd")
            check(
                atomic.bitwiseOr(operand, ordering: .acquiringAndReleasing), value | operand,
                "bitwiseOr")
            check(
                atomic.bitwiseXor(operand, ordering: .sequentiallyConsistent), value ^ operand,
                "bitwiseXor")
            check(atomic.min(operand, ordering: .acquiring), Swift.min(value, operand), "min")
            check(atomic.max(operand, ordering: .releasing), Swift.max(value, operand), "max")
            if !value.addingReportingOverflow(operand).overflow {
                check(
                    atomic.add(operand, ordering: .sequentiallyConsistent), value + operand, "add")
            }
            if !value.subtractingReportingOverflow(operand).overflow {
                check(
                    atomic.subtract(operand, ordering: .acquiringAndReleasing), value - operand,
                    "subtract")
            }
        }
    }
}
