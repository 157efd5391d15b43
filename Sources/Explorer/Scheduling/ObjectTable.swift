// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The objects of an execution: numbers for addresses.
///
/// An object is told by the thread that met it first and by how many that thread met before it.
/// Where the thread *made* it (said so by a label, or by allocating it) it has the same number in
/// every execution in which its thread does the same. One that is only come across may be met by
/// another thread first in another execution: its number holds within its own.
@safe
final class ObjectTable {
    /// What the scheduler knows of an object.
    struct Record: BitwiseCopyable {
        var address: UInt
        /// In which execution this was written, and how many objects that one had before.
        var execution: UInt32 = 0
        var order: Int32 = 0
        /// The storage that holds the object, and what stands for its lifetime, or -1.
        var storage: Int32 = -1
        var lifetime: Int32 = -1
        /// The subject that the object is a part of, `everySubject`, or -1.
        var subject: Int32 = -1
        /// Whether it is a lock with readers.
        var isReaderWriterLock = false
        /// Whether its holder trapped and its word was given back.
        var isWordless = false
        /// What is known of waiters outside, once a thread has waited here; -1 before.
        var sharedWait: Int32 = -1
        /// The state of a lock, and that of a condition or a wait point's queue.
        var lock = LockState()
        var waiters = WaiterState()
        /// The state of an object that brings its own machine, once it is known.
        var state: Bits?

        /// Whether an access of it touches nothing else.
        @inline(__always)
        var standsAlone: Bool { subject & lifetime == -1 }
    }

    private struct Slot: BitwiseCopyable {
        var address: UInt = 0
        var object: Int32 = -1
        var execution: UInt32 = 0
    }

    /// What is the same in every execution: a thread's objects are a list, and an object may have a
    /// companion.
    struct Identity: BitwiseCopyable, Codable {
        var next: Int32 = -1
        var companion: Int32 = -1
        /// Whether its thread did not make it.
        var isFound = false
    }

    private struct Cursor: BitwiseCopyable {
        var first: Int32 = -1
        var last: Int32 = -1
        var execution: UInt32 = 0
    }

    private let slots = Stack<Slot>(capacity: 256)
    private var used = 0
    private var execution: UInt32 = 0
    private let records = Stack<Record>(capacity: 128)
    private let identities = Stack<Identity>(capacity: 128)
    private let cursors = Stack<Cursor>(capacity: 32)

    /// Objects without an address of their own: the clock, what barriers order, which threads there
    /// are, and all that jobs share without a word to Substrate, and the main actor.
    static let clock: Int32 = 0
    static let barrier: Int32 = 1
    static let threads: Int32 = 2
    static let jobs: Int32 = 3
    static let mainActor: Int32 = 4
    /// The order in which tasks arrive at actors.
    static let arrivals: Int32 = 5
    /// Which freed memory there is to be used again.
    static let allocator: Int32 = 6
    /// The order of marks.
    static let marks: Int32 = 7
    static let last = marks

    static let everySubject: Int32 = -2

    /// How many objects this execution has.
    private(set) var count: Int32 = 0

    init() {
        slots.extend(to: 256, with: Slot())
        for _ in 0...Self.last { _ = makeIdentity() }
    }

    /// A number above every object's.
    var limit: Int32 { Int32(truncatingIfNeeded: records.count) }

    subscript(object: Int32) -> Record {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(records.address(of: Int(object))) }
        @inline(__always)
        unsafeMutableAddress { unsafe records.address(of: Int(object)) }
    }

    func beginExecution() {
        execution &+= 1
        used = 0
        count = 0
        for object in 0...Self.last { begin(object, 0) }
    }

    /// Whether `object` is one of this execution's.
    func isLive(_ object: Int32) -> Bool {
        object >= 0 && object < limit && self[object].execution == execution
    }

    /// Whether the number means the same object in every execution that shares the first `count`
    /// objects with this one.
    @inline(__always)
    func isStable(_ object: Int32, among count: Int32) -> Bool {
        !identities[Int(object)].isFound || isLive(object) && self[object].order < count
    }

    /// The number of the object at `address`, and whether it is new. `thread` meets it, or makes
    /// it.
    @inline(__always)
    func find(_ address: UInt, by thread: Int32, isMade: Bool = false) -> (
        object: Int32, isNew: Bool
    ) {
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
        return (insert(address, at: index, thread, isMade), true)
    }

    /// The object that goes with `object`, `offset` bytes into it: a wait point's queue, what the
    /// readers of a lock publish.
    func companion(of object: Int32, _ offset: UInt) -> Int32 {
        let known = identities[Int(object)].companion
        let companion = known >= 0 ? known : makeIdentity()
        if known < 0 {
            identities[Int(object)].companion = companion
            identities[Int(companion)].isFound = identities[Int(object)].isFound
        }
        if self[companion].execution != execution {
            begin(companion, self[object].address + offset)
        }
        self[companion].storage = self[object].storage
        self[companion].lifetime = self[object].lifetime
        self[companion].subject = self[object].subject
        return companion
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

    // MARK: Numbers

    /// Which numbers there are, for an exploration that goes on in another process.
    struct Numbers: Codable {
        var identities: [Identity]
        /// By thread: the first object that it found, and the first that it made.
        var first: [Int32]
    }

    var numbers: Numbers {
        get {
            Numbers(
                identities: (0..<identities.count).map { identities[$0] },
                first: (0..<cursors.count).map { cursors[$0].first })
        }
        set {
            while identities.count < newValue.identities.count { _ = makeIdentity() }
            for (index, identity) in newValue.identities.enumerated() {
                identities[index] = identity
            }
            cursors.extend(to: newValue.first.count, with: Cursor())
            for (row, first) in newValue.first.enumerated() { cursors[row].first = first }
        }
    }

    @inline(never)
    private func insert(_ address: UInt, at index: Int, _ thread: Int32, _ isMade: Bool) -> Int32 {
        let object = number(thread, isMade)
        begin(object, address)
        if slots[index].execution != execution { used += 1 }
        slots[index] = Slot(address: address, object: object, execution: execution)
        if used * 2 > slots.count { grow() }
        return object
    }

    private func begin(_ object: Int32, _ address: UInt) {
        self[object] = Record(address: address, execution: execution, order: count)
        count += 1
    }

    private func makeIdentity() -> Int32 {
        let object = limit
        records.append(Record(address: 0))
        identities.append(Identity())
        return object
    }

    /// The number of the next object that `thread` meets; those that it makes are counted apart.
    private func number(_ thread: Int32, _ isMade: Bool) -> Int32 {
        let row = Int(thread + 1) * 2 + (isMade ? 1 : 0)
        cursors.extend(to: row + 1, with: Cursor())
        let cursor = cursors[row]
        let last = cursor.execution == execution ? cursor.last : -1
        var object = last < 0 ? cursor.first : identities[Int(last)].next
        if object < 0 {
            object = makeIdentity()
            identities[Int(object)].isFound = !isMade
            if last < 0 { cursors[row].first = object } else { identities[Int(last)].next = object }
        }
        cursors[row].last = object
        cursors[row].execution = execution
        return object
    }

    private func grow() {
        let size = slots.count * 2
        let larger = Stack<Slot>(capacity: size)
        larger.extend(to: size, with: Slot())
        for index in 0..<slots.count
        where slots[index].execution == execution && slots[index].object >= 0 {
            var target =
                Int(
                    truncatingIfNeeded: (slots[index].address &>> 3) &* 0x9E37_79B9_7F4A_7C15 &>> 40
                ) & (size - 1)
            while larger[target].execution == execution { target = (target + 1) & (size - 1) }
            larger[target] = slots[index]
        }
        slots.replace(with: larger)
    }
}
