// SPDX-License-Identifier: Apache-2.0

import Substrate
import Synchronization

/// What both sides work on. Class fields: the compiler can neither see all their users nor keep
/// them in registers.
final class Ours: Sendable {
    let number = Substrate.Atomic<Int>(0)
    let mutex = Substrate.Mutex(0)
}

final class Standard: Sendable {
    let number = Synchronization.Atomic<Int>(0)
    let mutex = Synchronization.Mutex(0)
}

/// One operation, twice: by Substrate's type and by the standard library's.
struct Case: Sendable {
    let name: String
    let ours: @Sendable (Ours, Int) -> Void
    let standard: @Sendable (Standard, Int) -> Void

    static let all: [Case] = [
        Case(name: "add", ours: oursAdd, standard: standardAdd),
        Case(name: "add-acqrel", ours: oursAddOrdered, standard: standardAddOrdered),
        Case(name: "exchange", ours: oursExchange, standard: standardExchange),
        Case(name: "cas", ours: oursCompareExchange, standard: standardCompareExchange),
        Case(name: "mutex", ours: oursMutex, standard: standardMutex),
    ]
}

/// Calls `body` with 0, 1, 2 … Four to a turn of the loop on both sides: the compiler unrolls loops
/// around the standard library's operations and not around ours, and it is operations that are
/// compared.
@inline(__always)
private func times(_ count: Int, _ body: (Int) -> Void) {
    var round = 0
    while round < count {
        body(round)
        body(round &+ 1)
        body(round &+ 2)
        body(round &+ 3)
        round &+= 4
    }
}

@inline(never)
func oursAdd(_ object: Ours, _ count: Int) {
    times(count) { _ in _ = object.number.wrappingAdd(1, ordering: .relaxed) }
}

@inline(never)
func standardAdd(_ object: Standard, _ count: Int) {
    times(count) { _ in _ = object.number.wrappingAdd(1, ordering: .relaxed) }
}

@inline(never)
func oursAddOrdered(_ object: Ours, _ count: Int) {
    times(count) { _ in _ = object.number.wrappingAdd(1, ordering: .acquiringAndReleasing) }
}

@inline(never)
func standardAddOrdered(_ object: Standard, _ count: Int) {
    times(count) { _ in _ = object.number.wrappingAdd(1, ordering: .acquiringAndReleasing) }
}

@inline(never)
func oursExchange(_ object: Ours, _ count: Int) {
    times(count) { round in _ = object.number.exchange(round, ordering: .acquiringAndReleasing) }
}

@inline(never)
func standardExchange(_ object: Standard, _ count: Int) {
    times(count) { round in _ = object.number.exchange(round, ordering: .acquiringAndReleasing) }
}

@inline(never)
func oursCompareExchange(_ object: Ours, _ count: Int) {
    times(count) { round in
        _ = object.number.compareExchange(
            expected: round, desired: round &+ 1, ordering: .acquiringAndReleasing)
    }
}

@inline(never)
func standardCompareExchange(_ object: Standard, _ count: Int) {
    times(count) { round in
        _ = object.number.compareExchange(
            expected: round, desired: round &+ 1, ordering: .acquiringAndReleasing)
    }
}

@inline(never)
func oursMutex(_ object: Ours, _ count: Int) {
    times(count) { _ in object.mutex.withLock { $0 &+= 1 } }
}

@inline(never)
func standardMutex(_ object: Standard, _ count: Int) {
    times(count) { _ in object.mutex.withLock { $0 &+= 1 } }
}
