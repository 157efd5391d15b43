// SPDX-License-Identifier: Apache-2.0

/// From addresses to numbers, for one execution.
final class AddressTable {
    private struct Slot: BitwiseCopyable {
        var address: UInt = 0
        var value: Int32 = -1
        var execution: UInt32 = 0
    }

    private let slots = Stack<Slot>(capacity: 64)
    private var used = 0
    private var execution: UInt32 = 1

    init() { slots.extend(to: 64, with: Slot()) }

    func removeAll() {
        execution &+= 1
        used = 0
    }

    @inline(__always)
    private func index(of address: UInt) -> Int {
        let mask = slots.count - 1
        var index = Int(truncatingIfNeeded: (address &>> 4) &* 0x9E37_79B9_7F4A_7C15 &>> 40) & mask
        while slots[index].execution == execution, slots[index].address != address {
            index = (index + 1) & mask
        }
        return index
    }

    /// What stands at `address`, -1 for nothing.
    @inline(__always)
    func value(of address: UInt) -> Int32 {
        let slot = slots[index(of: address)]
        return slot.execution == execution ? slot.value : -1
    }

    /// -1 for nothing any more: an allocator gives addresses out again.
    func set(_ address: UInt, _ value: Int32) {
        let index = index(of: address)
        if slots[index].execution != execution { used += 1 }
        slots[index] = Slot(address: address, value: value, execution: execution)
        if used * 2 > slots.count { grow() }
    }

    private func grow() {
        let old = (0..<slots.count).map { slots[$0] }
        slots.refill(old.count * 2, with: Slot())
        used = 0
        for slot in old where slot.execution == execution {
            slots[self.index(of: slot.address)] = slot
            used += 1
        }
    }
}
