// SPDX-License-Identifier: Apache-2.0

/// The accesses of an execution in the order of its events: for each object a list that goes back
/// from the last.
final class AccessHistory {
    private let accesses = Stack<Access>(capacity: 512)
    /// By object: its last access, -1 for none.
    private let heads = Stack<Int32>(capacity: 128)

    /// One access of one object by one event.
    struct Access: BitwiseCopyable {
        var event: Int32
        var object: Int32
        var writes: Bool
        /// The object's access before, and its last write before.
        var previous: Int32
        var lastWrite: Int32
    }

    var count: Int { @inline(__always) get { accesses.count } }

    subscript(index: Int) -> Access {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(accesses.address(of: index)) }
    }

    /// What the next access of `object` would be.
    @inline(__always)
    func next(_ object: Int32, writes: Bool, by event: Int) -> Access {
        if Int(object) >= heads.count { heads.extend(to: Int(object) &+ 1, with: -1) }
        let head = heads[Int(object)]
        let lastWrite =
            head < 0 ? -1 : accesses[Int(head)].writes ? head : accesses[Int(head)].lastWrite
        return Access(
            event: Int32(truncatingIfNeeded: event), object: object, writes: writes,
            previous: head, lastWrite: lastWrite)
    }

    /// Adds what `next` has returned.
    @inline(__always)
    func append(_ access: Access) {
        heads[Int(access.object)] = Int32(truncatingIfNeeded: accesses.count)
        accesses.append(access)
    }

    func truncate(to count: Int) {
        while accesses.count > count {
            let last = accesses[accesses.count - 1]
            heads[Int(last.object)] = last.previous
            accesses.truncate(to: accesses.count - 1)
        }
    }

    /// Calls `body` with each event that conflicts with `access` and might be adjacent to it, the
    /// latest first.
    ///
    /// A write conflicts with the reads since the last write, and with that; a read, with the last
    /// write. Of an object whose writers commute, each sort conflicts with all of the other.
    @inline(__always)
    func forEachConflict(of access: Access, _ body: (Int) -> Void) {
        var index = access.previous
        if Footprint.isOfSorts(access.object) {
            while index >= 0 {
                let other = accesses[Int(index)]
                if other.writes != access.writes { body(Int(other.event)) }
                index = other.previous
            }
        } else if access.writes {
            while index >= 0 {
                body(Int(accesses[Int(index)].event))
                if accesses[Int(index)].writes { break }
                index = accesses[Int(index)].previous
            }
        } else if access.lastWrite >= 0 {
            body(Int(accesses[Int(access.lastWrite)].event))
        }
    }
}
