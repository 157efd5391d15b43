// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A row of atomics: arrays do not hold noncopyable values.
final class Cells: Sendable {
    private let cells: [Cell]

    private final class Cell: Sendable {
        let value: Atomic<Int>
        init(_ initial: Int, _ name: String) {
            value = Atomic(initial)
            value.label(name)
        }
    }

    init(_ count: Int, _ name: String, initial: Int = 0) {
        cells = (0..<count).map { Cell(initial, "\(name)[\($0)]") }
    }

    func load(_ index: Int) -> Int { cells[index].value.load(ordering: .sequentiallyConsistent) }

    func store(_ value: Int, _ index: Int) { cells[index].value.store(value, ordering: .sequentiallyConsistent) }

    @discardableResult
    func add(_ value: Int, _ index: Int) -> Int {
        cells[index].value.wrappingAdd(value, ordering: .sequentiallyConsistent).oldValue
    }

    func compareExchange(_ index: Int, _ expected: Int, _ desired: Int) -> (exchanged: Bool, original: Int) {
        cells[index].value.compareExchange(expected: expected, desired: desired, ordering: .sequentiallyConsistent)
    }

    var sum: Int { cells.indices.reduce(0) { $0 + load($1) } }
}

/// A row of locks.
final class Locks: Sendable {
    private let locks: [Lock]

    private final class Lock: Sendable {
        let mutex = Mutex(())
        init(_ name: String) { mutex.label(name) }
    }

    init(_ count: Int, _ name: String) {
        locks = (0..<count).map { Lock("\(name)[\($0)]") }
    }

    func lock(_ index: Int) { locks[index].mutex.lock() }
    func unlock(_ index: Int) { locks[index].mutex.unlock() }
}
