// SPDX-License-Identifier: Apache-2.0

/// What a step touches: up to eight objects, each read or written.
///
/// Two steps of different threads conflict when they touch one object and one of them writes it.
/// The object that barriers order is written by them and read by what they order: there a step
/// conflicts with those of the other sort alone.
struct Footprint: BitwiseCopyable {
    static let capacity = 8

    private(set) var count: UInt8 = 0
    /// One bit for each object, to tell most independent pairs apart at once.
    private(set) var filter: UInt64 = 0
    private var slots = InlineArray<8, UInt32>(repeating: 0)

    init() {}

    /// One access.
    @inline(__always)
    init(_ object: Int32, writes: Bool) {
        slots[0] = UInt32(truncatingIfNeeded: object) << 1 | (writes ? 1 : 0)
        count = 1
        filter = Self.filter(of: object)
    }

    @inline(__always)
    static func filter(of object: Int32) -> UInt64 {
        1 << (UInt64(truncatingIfNeeded: object) & 63)
    }

    @inline(__always)
    mutating func add(_ object: Int32, writes: Bool) {
        guard object >= 0 else { return }
        let number = UInt32(truncatingIfNeeded: object)
        for index in 0..<Int(count) where slots[index] >> 1 == number {
            if writes { slots[index] |= 1 }
            return
        }
        precondition(
            count < UInt8(Footprint.capacity), "a step touches more objects than a footprint holds")
        slots[Int(count)] = number << 1 | (writes ? 1 : 0)
        count += 1
        filter |= Self.filter(of: object)
    }

    /// Whether an access of `object` is in it.
    func contains(_ object: Int32) -> Bool {
        (0..<Int(count)).contains { self.object($0) == object }
    }

    /// Whether it has a write of `object`.
    func writes(to object: Int32) -> Bool {
        (0..<Int(count)).contains { self.object($0) == object && writes($0) }
    }

    /// Adds the access if there is room for it, and for so many more. False when there is none.
    mutating func addIfRoom(_ object: Int32, writes: Bool, leaving spare: Int = 0) -> Bool {
        guard Int(count) + spare < Footprint.capacity || contains(object) else { return false }
        add(object, writes: writes)
        return true
    }

    /// Adds the access of `object`, with which every other step conflicts that has it. Where there
    /// is no room it takes the place of another one, and writes: then nothing is lost.
    mutating func addOrReplace(_ object: Int32, writes: Bool) {
        if addIfRoom(object, writes: writes) {
            if writes { set(object, writes: true) }
            return
        }
        let last = Footprint.capacity - 1
        slots[last] = UInt32(truncatingIfNeeded: object) << 1 | 1
        filter |= Self.filter(of: object)
    }

    @inline(__always)
    func object(_ index: Int) -> Int32 { Int32(truncatingIfNeeded: slots[index] >> 1) }

    @inline(__always)
    func writes(_ index: Int) -> Bool { slots[index] & 1 != 0 }

    /// Makes the access of `object`, if there is one, a write or a read.
    mutating func set(_ object: Int32, writes: Bool) {
        for index in 0..<Int(count) where self.object(index) == object {
            slots[index] = slots[index] & ~1 | (writes ? 1 : 0)
        }
    }

    /// Forgets the access of `object`.
    mutating func remove(_ object: Int32) {
        var kept = Footprint()
        for index in 0..<Int(count) where self.object(index) != object {
            kept.add(self.object(index), writes: writes(index))
        }
        self = kept
    }

    /// Whether the writers of `object` commute as its readers do.
    @inline(__always)
    static func isOfSorts(_ object: Int32) -> Bool { object == ObjectTable.barrier }

    @inline(__always)
    func conflicts(with other: Footprint) -> Bool {
        if filter & other.filter == 0 { return false }
        for mine in 0..<Int(count) {
            for theirs in 0..<Int(other.count) {
                let difference = slots[mine] ^ other.slots[theirs]
                if difference >> 1 == 0, (slots[mine] | other.slots[theirs]) & 1 != 0,
                    difference != 0 || !Footprint.isOfSorts(object(mine))
                {
                    return true
                }
            }
        }
        return false
    }
}

/// A list of the accesses, in their order.
extension Footprint: Codable {
    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let accesses = try container.decode([UInt32].self)
        guard accesses.count <= Footprint.capacity else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "a step touches too many objects")
        }
        for access in accesses { add(Int32(access >> 1), writes: access & 1 != 0) }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(
            (0..<Int(count)).map { UInt32(object($0)) << 1 | (writes($0) ? 1 : 0) })
    }
}
