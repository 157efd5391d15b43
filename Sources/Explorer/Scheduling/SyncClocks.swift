// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Rows of counters, one a thread wide, that start at zero.
final class ClockRows {
    private let cells = Stack<UInt32>(capacity: 256)
    private(set) var width = 8

    @inline(__always)
    func prepare(_ row: Int) { cells.extend(to: (row + 1) * width, with: 0) }

    subscript(row: Int, column: Int) -> UInt32 {
        @inline(__always) get { cells[row * width + column] }
        @inline(__always) set { cells[row * width + column] = newValue }
    }

    func join(_ target: Int, with source: Int) {
        cells.joinRow(at: target * width, with: source * width, length: width)
    }

    func join(_ target: Int, with other: ClockRows, _ source: Int) {
        for column in 0..<width {
            self[target, column] = max(self[target, column], other[source, column])
        }
    }

    func clear(_ row: Int) {
        for column in 0..<width { self[row, column] = 0 }
    }

    func removeAll() { cells.removeAll() }

    func widen(to newWidth: Int) {
        let wider = Stack<UInt32>(capacity: max(256, cells.count / width * newWidth))
        for row in 0..<cells.count / width {
            for column in 0..<width { wider.append(self[row, column]) }
            wider.extend(to: (row + 1) * newWidth, with: 0)
        }
        cells.replace(with: wider)
        width = newWidth
    }
}

/// The happens-before order that the program declares: what its memory orders, locks, spawns and
/// joins publish.
///
/// A plain access races with another when this order leaves them unordered. It is weaker than the
/// order in which the execution happened: a relaxed store publishes nothing. (The C++20 model's
/// synchronizes-with, as vector clocks.)
final class SyncClocks {
    private let threads = ClockRows()
    /// What a thread's relaxed loads saw, until a fence acquires it; what its last release fence
    /// publishes.
    private let seen = ClockRows()
    private let fenced = ClockRows()
    /// What an object's last release publishes.
    private let objects = ClockRows()
    /// What has been published through a thing of the Swift runtime's (a task, an executor, a
    /// mutex), by its address.
    private let runtime = ClockRows()
    private let runtimeRows = AddressTable()
    private var runtimeCount: Int32 = 0

    // Plain memory: the last write of an object, and each thread's last read since.
    private let writes = Stack<Write>(capacity: 64)
    private let reads = ClockRows()
    private let readEntries = ClockRows()

    private struct Write: BitwiseCopyable {
        var thread: Int32 = -1
        var epoch: UInt32 = 0
        var entry: Int32 = -1
    }

    /// The access that a plain access races with.
    struct Conflict {
        var thread: Int32
        var writes: Bool
        /// Where a recorder has it; -1 when nobody records.
        var entry: Int32
    }

    func beginExecution() {
        threads.removeAll()
        seen.removeAll()
        fenced.removeAll()
        objects.removeAll()
        runtime.removeAll()
        runtimeRows.removeAll()
        runtimeCount = 0
        reads.removeAll()
        readEntries.removeAll()
        writes.removeAll()
    }

    private func prepare(_ thread: Int) {
        if thread >= threads.width {
            let width = max(threads.width * 2, thread + 1)
            threads.widen(to: width)
            seen.widen(to: width)
            fenced.widen(to: width)
            objects.widen(to: width)
            runtime.widen(to: width)
            reads.widen(to: width)
            readEntries.widen(to: width)
        }
        threads.prepare(thread)
        seen.prepare(thread)
        fenced.prepare(thread)
        if threads[thread, thread] == 0 { threads[thread, thread] = 1 }
    }

    func spawn(_ child: Int32, by parent: Int32) {
        prepare(Int(max(child, parent)))
        prepare(Int(child))
        prepare(Int(parent))
        threads.join(Int(child), with: Int(parent))
        threads[Int(child), Int(child)] += 1
        threads[Int(parent), Int(parent)] += 1
    }

    func join(_ thread: Int32, with ended: Int32) {
        prepare(Int(max(thread, ended)))
        threads.join(Int(thread), with: Int(ended))
    }

    /// What `thread` did so far happens before what a thread does once it has acquired `address`.
    func release(_ thread: Int32, to address: UInt) {
        prepare(Int(thread))
        var row = runtimeRows.value(of: address)
        if row < 0 {
            row = runtimeCount
            runtimeCount += 1
            runtime.prepare(Int(row))
            runtimeRows.set(address, row)
        }
        runtime.join(Int(row), with: threads, Int(thread))
        threads[Int(thread), Int(thread)] += 1
    }

    /// What was released to `address` happens before what `thread` does from here on.
    func acquire(_ thread: Int32, from address: UInt) {
        prepare(Int(thread))
        let row = runtimeRows.value(of: address)
        if row >= 0 { threads.join(Int(thread), with: runtime, Int(row)) }
    }

    /// What was at `address` is gone; something else comes into being there.
    func forget(_ address: UInt) { runtimeRows.set(address, -1) }

    /// `thread` reads `object` with `order`.
    func load(_ thread: Int32, _ object: Int32, _ order: MemoryOrder) {
        prepare(Int(thread))
        objects.prepare(Int(object))
        if order.acquires {
            threads.join(Int(thread), with: objects, Int(object))
        } else {
            seen.join(Int(thread), with: objects, Int(object))
        }
    }

    /// `thread` stores to `object`: what was published through it before is published no more.
    func store(_ thread: Int32, _ object: Int32, _ order: MemoryOrder) {
        prepare(Int(thread))
        objects.prepare(Int(object))
        objects.clear(Int(object))
        publish(Int(thread), Int(object), order)
    }

    /// `thread` reads and writes `object`: what was published through it stays so (a release
    /// sequence).
    func update(_ thread: Int32, _ object: Int32, _ order: MemoryOrder) {
        load(thread, object, order)
        publish(Int(thread), Int(object), order)
    }

    private func publish(_ thread: Int, _ object: Int, _ order: MemoryOrder) {
        if order.releases {
            objects.join(object, with: threads, thread)
            threads[thread, thread] += 1
        } else {
            objects.join(object, with: fenced, thread)
        }
    }

    /// What a store publishes that its thread makes now and others see later.
    func buffered(_ thread: Int32, _ order: MemoryOrder) -> [UInt32] {
        let thread = Int(thread)
        prepare(thread)
        let row = order.releases ? threads : fenced
        let published = (0..<row.width).map { row[thread, $0] }
        if order.releases { threads[thread, thread] += 1 }
        return published
    }

    /// A buffered store to `object` becomes visible.
    func flush(_ object: Int32, _ published: [UInt32]) {
        objects.prepare(Int(object))
        objects.clear(Int(object))
        for (column, value) in published.enumerated() where column < objects.width {
            objects[Int(object), column] = value
        }
    }

    func fence(_ thread: Int32, _ order: MemoryOrder) {
        let thread = Int(thread)
        prepare(thread)
        if order.acquires { threads.join(thread, with: seen, thread) }
        if order.releases {
            fenced.join(thread, with: threads, thread)
            threads[thread, thread] += 1
        }
    }

    /// `thread` accesses plain memory. Returns the access it races with.
    func access(_ thread: Int32, _ object: Int32, writes isWrite: Bool, entry: Int32) -> Conflict? {
        prepare(Int(thread))
        let row = Int(object)
        writes.extend(to: row + 1, with: Write())
        reads.prepare(row)
        readEntries.prepare(row)
        var conflict: Conflict?
        let last = writes[row]
        if last.thread >= 0, last.thread != thread,
            last.epoch > threads[Int(thread), Int(last.thread)]
        {
            conflict = Conflict(thread: last.thread, writes: true, entry: last.entry)
        }
        if isWrite {
            for reader in 0..<reads.width where reader != Int(thread) && conflict == nil {
                let epoch = reads[row, reader]
                if epoch > 0, epoch > threads[Int(thread), reader] {
                    conflict = Conflict(
                        thread: Int32(reader), writes: false,
                        entry: Int32(bitPattern: readEntries[row, reader]))
                }
            }
            writes[row] = Write(
                thread: thread, epoch: threads[Int(thread), Int(thread)], entry: entry)
            reads.clear(row)
        } else {
            reads[row, Int(thread)] = threads[Int(thread), Int(thread)]
            readEntries[row, Int(thread)] = UInt32(bitPattern: entry)
        }
        return conflict
    }
}
