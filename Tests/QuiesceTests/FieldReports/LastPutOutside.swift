// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// The last put outside the lock: Linux 90b1253e4139 (vfio).
@Suite struct LastPutOutside {
    private struct Group: ~Copyable, Sendable {
        let count = Atomic(1)
        let data = Unsynchronized(7)
    }

    private final class Table: Sendable {
        let slot = Mutex<Storage<Group>?>(nil)
        init() { slot.label("list") }
    }

    private func program(isRepaired: Bool) -> (ExploredWorld) -> Void {
        { world in
            let table = Table()
            let group = Storage.allocate(Group(), name: "group")
            group.pointee.count.label("count")
            table.slot.withLock { $0 = group }
            @Sendable func put(_ group: Storage<Group>) {
                if isRepaired {
                    let isLast = table.slot.withLock { slot in
                        guard
                            group.pointee.count.wrappingSubtract(
                                1, ordering: .acquiringAndReleasing
                            )
                            .newValue == 0
                        else { return false }
                        slot = nil
                        return true
                    }
                    if isLast { unsafe group.free() }
                } else if group.pointee.count.wrappingSubtract(1, ordering: .acquiringAndReleasing)
                    .newValue == 0
                {
                    table.slot.withLock { $0 = nil }
                    unsafe group.free()
                }
            }
            world.thread("putter") { put(group) }
            world.thread("finder") {
                let found = table.slot.withLock { slot in
                    slot?.pointee.count.wrappingAdd(1, ordering: .relaxed)
                    return slot
                }
                guard let found else { return }
                _ = found.pointee.data.load()
                put(found)
            }
        }
    }

    @Test func `a finder revives what the last put is about to free`() throws {
        // Both put to the end: the second free is met before a late use.
        try expectFound(
            .doubleFree, shows: ["group.count 1→0", "group.count 0→1", "free group"],
            columns: ["putter", "finder"], program(isRepaired: false))
    }

    @Test func `lowering and unlinking are one locking`() throws {
        try expectVerified(program(isRepaired: true))
    }
}
