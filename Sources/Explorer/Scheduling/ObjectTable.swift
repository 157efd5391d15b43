// SPDX-License-Identifier: Apache-2.0

/// The objects of one execution: numbers for addresses, in the order in which they are first seen.
@safe
final class ObjectTable {
    /// What the scheduler knows of an object.
    struct Record: BitwiseCopyable {
        var address: UInt
        /// The storage that holds the object, or -1.
        var storage: Int32 = -1
        /// A lock's holder, and where it acquired; -1 when free.
        var owner: Int32 = -1
        var acquired: Int32 = -1
        /// A reader-writer lock: how many read, how many writers wait.
        var readers: Int32 = 0
        var waitingWriters: Int32 = 0
    }

    private struct Slot: BitwiseCopyable {
        var address: UInt = 0
        var object: Int32 = -1
        var execution: UInt32 = 0
    }

    private let slots = Stack<Slot>(capacity: 256)
    private var used = 0
    private var execution: UInt32 = 0
    let records = Stack<Record>(capacity: 128)

    /// Objects without an address of their own: the clock, and what barriers order.
    static let clock: Int32 = 0
    static let barrier: Int32 = 1

    init() {
        slots.extend(to: 256, with: Slot())
    }

    var count: Int32 { Int32(truncatingIfNeeded: records.count) }

    subscript(object: Int32) -> Record {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(records.address(of: Int(object))) }
        @inline(__always)
        unsafeMutableAddress { unsafe records.address(of: Int(object)) }
    }

    func beginExecution() {
        execution &+= 1
        used = 0
        records.removeAll()
        records.append(Record(address: 0))
        records.append(Record(address: 0))
    }

    /// The number of the object at `address`, and whether it is new.
    @inline(__always)
    func find(_ address: UInt) -> (object: Int32, isNew: Bool) {
        let mask = slots.count - 1
        var index = Int(truncatingIfNeeded: (address &>> 3) &* 0x9E37_79B9_7F4A_7C15 &>> 40) & mask
        while true {
            let slot = slots[index]
            if slot.execution != execution { break }
            if slot.address == address {
                if slot.object >= 0 { return (slot.object, false) }
                break
            }
            index = (index + 1) & mask
        }
        return (insert(address, at: index), true)
    }

    @inline(never)
    private func insert(_ address: UInt, at index: Int) -> Int32 {
        let object = count
        records.append(Record(address: address))
        if slots[index].execution != execution { used += 1 }
        slots[index] = Slot(address: address, object: object, execution: execution)
        if used * 2 > slots.count { grow() }
        return object
    }

    /// The object at `address` is gone: what is found there next is another one.
    func forget(_ address: UInt) {
        let mask = slots.count - 1
        var index = Int(truncatingIfNeeded: (address &>> 3) &* 0x9E37_79B9_7F4A_7C15 &>> 40) & mask
        while slots[index].execution == execution {
            if slots[index].address == address {
                slots[index].object = -1
                return
            }
            index = (index + 1) & mask
        }
    }

    private func grow() {
        let size = slots.count * 2
        let larger = Stack<Slot>(capacity: size)
        larger.extend(to: size, with: Slot())
        for index in 0..<slots.count where slots[index].execution == execution && slots[index].object >= 0 {
            var target =
                Int(truncatingIfNeeded: (slots[index].address &>> 3) &* 0x9E37_79B9_7F4A_7C15 &>> 40) & (size - 1)
            while larger[target].execution == execution { target = (target + 1) & (size - 1) }
            larger[target] = slots[index]
        }
        slots.replace(with: larger)
    }
}
