// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A row of noncopyable objects in one allocation: arrays do not hold them.
@safe
final class Row<Element: ~Copyable & Sendable>: @unchecked Sendable {
    // Unchecked: the memory is not changed after `init` but through its elements, which are
    // Sendable.
    private let base: UnsafeMutablePointer<Element>
    private let count: Int

    init(_ count: Int, _ make: (Int) -> Element) {
        unsafe base = .allocate(capacity: count)
        self.count = count
        for index in 0..<count { unsafe (base + index).initialize(to: make(index)) }
    }

    deinit {
        unsafe base.deinitialize(count: count)
        unsafe base.deallocate()
    }

    subscript(index: Int) -> Element {
        unsafeAddress {
            precondition(index >= 0 && index < count)
            return unsafe UnsafePointer(base + index)
        }
    }
}

/// A row of atomics.
final class Cells: Sendable {
    private let cells: Row<Atomic<Int>>
    private let count: Int

    init(_ count: Int, _ name: StaticString, initial: Int = 0) {
        cells = Row(count) { _ in Atomic(initial) }
        self.count = count
        for index in 0..<count { cells[index].label("\(name)[\(index)]") }
    }

    func load(_ index: Int) -> Int { cells[index].load(ordering: .sequentiallyConsistent) }

    func store(_ value: Int, _ index: Int) {
        cells[index].store(value, ordering: .sequentiallyConsistent)
    }

    @discardableResult
    func add(_ value: Int, _ index: Int) -> Int {
        cells[index].wrappingAdd(value, ordering: .sequentiallyConsistent).oldValue
    }

    func compareExchange(_ index: Int, _ expected: Int, _ desired: Int) -> (
        exchanged: Bool, original: Int
    ) {
        cells[index].compareExchange(
            expected: expected, desired: desired, ordering: .sequentiallyConsistent)
    }

    var sum: Int { (0..<count).reduce(0) { $0 + load($1) } }
}

/// A row of locks.
final class Locks: Sendable {
    private let locks: Row<Mutex<Void>>

    init(_ count: Int, _ name: StaticString) {
        locks = Row(count) { _ in Mutex(()) }
        for index in 0..<count { locks[index].label("\(name)[\(index)]") }
    }

    func lock(_ index: Int) { locks[index].lock() }
    func unlock(_ index: Int) { locks[index].unlock() }
}
