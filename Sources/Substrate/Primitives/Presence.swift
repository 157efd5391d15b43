// SPDX-License-Identifier: Apache-2.0

public import CSubstrate
public import Synchronization

/// What each thread is inside of, announced without a locked instruction.
///
/// A thread writes a key into a slot of its own before it enters something, and clears the slot
/// when it has left. A thread that waits until nobody is inside makes later entries fail, calls
/// `membarrier()`, and looks at the slots of all threads. The announcement is an asymmetric store:
/// it costs a plain store, and the barrier of the other side makes it visible.
///
/// Announcements nest and end in reverse order. A key is a nonzero even number, such as an object's
/// address.
@usableFromInline
package enum Presence {
    /// How many announcements a thread can have at once.
    package static let depthLimit = 7

    /// An announcement of the running thread, to be given to `leave`.
    @safe
    @frozen
    @usableFromInline
    package struct Announcement {
        /// One that was made while somebody watched the thread. An entry that counts elsewhere has
        /// it too, and does not use it.
        package static var watched: Announcement { unsafe Announcement(slot: nil) }

        /// Whether nobody watched the thread when it was made.
        @inlinable package var isPlain: Bool { unsafe slot != nil }

        // Nil for one that was made on the slow path, which finds its slot by the key.
        @usableFromInline let slot: UnsafeMutablePointer<Synchronization.Atomic<UInt>>?

        @inlinable
        init(slot: UnsafeMutablePointer<Synchronization.Atomic<UInt>>?) { unsafe self.slot = slot }
    }

    /// What `enter` came to.
    @frozen
    @usableFromInline
    package enum Entrance {
        case announced(Announcement)
        /// The thread has `depthLimit` announcements already.
        case noSlot
        /// The state had one of the bits, and nothing was announced.
        case refused
        /// The state had one of the bits once the key was announced. The announcement is over; a
        /// thread that looked for announcements meanwhile may have seen it.
        case withdrawn
    }

    /// Announces `key`, and then looks whether `state` has one of `bits`: a thread that sets a bit,
    /// and then looks for announcements behind a `membarrier()`, sees this one, or else this sees
    /// the bit. Acquires what set `state`.
    ///
    /// It looks before it announces as well. That look decides nothing about an entry; it spares
    /// threads that wait for announcements to end from seeing one that is about to be withdrawn.
    ///
    /// One operation, since the fast path of the two is a single test of the thread's block.
    ///
    /// - Parameter section: the class that an observer is told of; its name follows.
    @inlinable
    @inline(__always)
    package static func enter(
        _ key: UInt, unless state: borrowing Atomic<UInt64>, has bits: UInt64,
        section: @autoclosure () -> WaitClass, _ name: @autoclosure () -> String,
        file: StaticString = #filePath, line: UInt = #line
    ) -> Entrance {
        guard _fastPath(unsafe quiesce_current_block().pointee.slots != nil),
            let slots = unsafe quiesce_current_block().pointee.slots
        else { return enterSlow(key, state, bits, section(), name(), file, line) }
        guard _fastPath(state.raw.load(ordering: .acquiring) & bits == 0) else { return .refused }
        let first = unsafe slots.assumingMemoryBound(to: Synchronization.Atomic<UInt>.self)
        // The common slots are constants: were they counted, each entry would wait for the count
        // that the last leave stored.
        if _fastPath(unsafe first.pointee.load(ordering: .relaxed) == 0) {
            return unsafe announce(key, first, unless: state, has: bits)
        }
        if _fastPath(unsafe first[1].load(ordering: .relaxed) == 0) {
            return unsafe announce(key, first + 1, unless: state, has: bits)
        }
        if _fastPath(unsafe first[2].load(ordering: .relaxed) == 0) {
            return unsafe announce(key, first + 2, unless: state, has: bits)
        }
        return unsafe enterNested(first, key, state, bits)
    }

    /// Announces `key` in a slot that is free, unless `state` has one of `bits` then.
    @inlinable
    @inline(__always)
    static func announce(
        _ key: UInt, _ slot: UnsafeMutablePointer<Synchronization.Atomic<UInt>>,
        unless state: borrowing Atomic<UInt64>, has bits: UInt64
    ) -> Entrance {
        unsafe slot.pointee.store(key, ordering: .releasing)
        quiesce_compiler_barrier()
        if _fastPath(state.raw.load(ordering: .acquiring) & bits == 0) {
            return unsafe .announced(Announcement(slot: slot))
        }
        unsafe slot.pointee.store(0, ordering: .releasing)
        return .withdrawn
    }

    /// Ends `announcement` of `key`, the last one of the running thread, and then looks whether
    /// `state` has one of `bits`: then somebody may be waiting for this. Releases: what was done
    /// inside happens before it.
    ///
    /// - Returns: whether `state` has one of the bits.
    @inlinable
    @inline(__always)
    package static func leave(
        _ announcement: Announcement, of key: UInt, andTellWhether state: borrowing Atomic<UInt64>,
        has bits: UInt64,
        section: @autoclosure () -> WaitClass, _ name: @autoclosure () -> String,
        file: StaticString = #filePath, line: UInt = #line
    ) -> Bool {
        // One that was made on the fast path ends on it: nobody was told that it began.
        guard let slot = unsafe announcement.slot else {
            return leaveSlow(key, state, bits, section(), name(), file, line)
        }
        unsafe slot.pointee.store(0, ordering: .releasing)
        quiesce_compiler_barrier()
        return state.raw.load(ordering: .relaxed) & bits != 0
    }

    /// Whether the running thread has announced `key`.
    package static func isInside(_ key: UInt) -> Bool {
        guard let row = unsafe quiesce_current_block().pointee.row else { return false }
        let slots = unsafe row.assumingMemoryBound(to: Atomic<UInt>.self)
        return (0..<depthLimit).contains { unsafe ownKey(slots, $0) == key }
    }

    /// Whether the running thread has announced anything.
    @inlinable
    @inline(__always)
    package static var isInsideAnything: Bool {
        guard let row = unsafe quiesce_current_block().pointee.row else { return false }
        return unsafe isInsideAnything(row)
    }

    @usableFromInline
    static func isInsideAnything(_ row: UnsafeMutableRawPointer) -> Bool {
        unsafe ownKey(row.assumingMemoryBound(to: Atomic<UInt>.self), 0) != 0
    }

    /// The threads that have announced `key`, by number. Acquires: what a thread that is not among
    /// them did inside happens before.
    ///
    /// Call `membarrier()` first. Reads one cache line of every thread of the world that has not
    /// ended.
    package static func threads(
        inside key: UInt, file: StaticString = #filePath, line: UInt = #line
    ) -> [UInt32] {
        var result: [UInt32] = []
        scan(key, file, line) {
            result.append($0)
            return true
        }
        return result
    }

    /// Whether a thread has announced `key`, as `threads(inside:)` would tell.
    package static func isAnyoneInside(
        _ key: UInt, file: StaticString = #filePath, line: UInt = #line
    ) -> Bool {
        var isFound = false
        scan(key, file, line) { _ in
            isFound = true
            return false
        }
        return isFound
    }

    private static func scan(
        _ key: UInt, _ file: StaticString, _ line: UInt, _ found: (UInt32) -> Bool
    ) {
        let world = World.current
        if let observer = Watch.observer {
            for number in observer.with({ $0.threads(at: Site(file, line)) }) {
                let row = unsafe world.presence.row(of: number)
                unsafe nameSlots(of: number, row, observer)
                if unsafe isInside(key, row, file, line), !found(number) { return }
            }
            return
        }
        for number in world.liveThreads {
            if unsafe isInside(key, world.presence.row(of: number), file, line), !found(number) {
                return
            }
        }
    }

    private static func isInside(
        _ key: UInt, _ row: UnsafeMutablePointer<Atomic<UInt>>, _ file: StaticString, _ line: UInt
    ) -> Bool {
        for slot in 0..<depthLimit {
            // Taken slots come first: announcements nest.
            let word = unsafe covered(row[slot]) {
                unsafe row[slot].load(ordering: .acquiring, file: file, line: line)
            }
            describe(word == key ? "inside" : word == 0 ? "free" : "elsewhere")
            if word == key { return true }
            if word == 0 { return false }
        }
        return false
    }

    /// Says what the last operation on a slot was about: a key tells a reader nothing.
    private static func describe(_ meaning: @autoclosure () -> String) {
        guard let observer = Watch.observer, observer.isRecording else { return }
        observer.describe(old: "", new: meaning())
    }

    // MARK: Slow paths

    @usableFromInline
    @inline(never)
    static func enterSlow(
        _ key: UInt, _ state: borrowing Atomic<UInt64>, _ bits: UInt64, _ section: WaitClass,
        _ name: String, _ file: StaticString,
        _ line: UInt
    ) -> Entrance {
        let row = unsafe ownRow()
        guard let slot = (0..<depthLimit).first(where: { unsafe ownKey(row, $0) == 0 }) else {
            return .noSlot
        }
        // Entries commute with one another, and not with what sets the bits.
        return state.operation("enter", writes: false, file: file, line: line) {
            if state.load(ordering: .acquiring, file: file, line: line) & bits != 0 {
                return .refused
            }
            section.begin(name)
            unsafe setKey(key, row, slot)
            unsafe row[slot].storeAsymmetric(key, file: file, line: line)
            describe(name)
            if state.load(ordering: .acquiring, file: file, line: line) & bits == 0 {
                return .announced(.watched)
            }
            unsafe end(row, slot, section, name, file, line)
            return .withdrawn
        }
    }

    @usableFromInline
    @inline(never)
    static func enterNested(
        _ slots: UnsafeMutablePointer<Synchronization.Atomic<UInt>>, _ key: UInt,
        _ state: borrowing Atomic<UInt64>,
        _ bits: UInt64
    ) -> Entrance {
        for slot in 3..<depthLimit where unsafe slots[slot].load(ordering: .relaxed) == 0 {
            return unsafe announce(key, slots + slot, unless: state, has: bits)
        }
        return .noSlot
    }

    @usableFromInline
    @inline(never)
    static func leaveSlow(
        _ key: UInt, _ state: borrowing Atomic<UInt64>, _ bits: UInt64, _ section: WaitClass,
        _ name: String, _ file: StaticString,
        _ line: UInt
    ) -> Bool {
        let row = unsafe ownRow()
        guard let slot = (0..<depthLimit).last(where: { unsafe ownKey(row, $0) == key }) else {
            fatalError("a thread left a gate that it is not inside of")
        }
        return state.operation("leave", writes: false, file: file, line: line) {
            unsafe end(row, slot, section, name, file, line)
            return state.load(ordering: .relaxed, file: file, line: line) & bits != 0
        }
    }

    /// Where an operation looks at all slots, its subject tells about those that matter: an entry
    /// is an operation on the same.
    private static func covered(_ slot: borrowing Atomic<UInt>, _ look: () -> UInt) -> UInt {
        guard let observer = Watch.observer else { return look() }
        let address = slot.address
        observer.with { $0.cover(address, begins: true) }
        defer { observer.with { $0.cover(address, begins: false) } }
        return look()
    }

    private static func end(
        _ row: UnsafeMutablePointer<Atomic<UInt>>, _ slot: Int, _ section: WaitClass,
        _ name: String, _ file: StaticString, _ line: UInt
    ) {
        unsafe row[slot].storeAsymmetric(0, file: file, line: line)
        describe("free")
        unsafe setKey(0, row, slot)
        section.end(name)
    }

    /// The running thread's row, found and named at its first use.
    private static func ownRow() -> UnsafeMutablePointer<Atomic<UInt>> {
        let block = unsafe quiesce_current_block()
        if let row = unsafe block.pointee.row {
            return unsafe row.assumingMemoryBound(to: Atomic<UInt>.self)
        }
        let number = LockWord.token()
        let row = unsafe World.current.presence.row(of: number)
        unsafe block.pointee.row = UnsafeMutableRawPointer(row)
        if let observer = Watch.observer { unsafe nameSlots(of: number, row, observer) }
        unsafe Watch.setFastPaths(of: block)
        return unsafe row
    }

    /// Names a thread's slots. It does not label them: their lives began with the world's.
    private static func nameSlots(
        of number: UInt32, _ row: UnsafeMutablePointer<Atomic<UInt>>, _ observer: WatchingObserver
    ) {
        guard observer.isRecording else { return }
        let name = observer.with { $0.name(ofThread: number) } ?? "thread \(number)"
        for slot in 0..<depthLimit {
            let address = unsafe row[slot].address
            observer.with { $0.label(address, "slot \(slot) of \(name)") }
        }
    }

    /// What the running thread has announced in `slot`. Its own business: reading it is no step.
    private static func ownKey(_ row: UnsafeMutablePointer<Atomic<UInt>>, _ slot: Int) -> UInt {
        // The stores of an observed thread may be in a buffer.
        unsafe Watch.observer == nil
            ? row[slot].raw.load(ordering: .relaxed) : PresenceTable.keys(of: row)[slot]
    }

    /// Keeps what an observed thread announces where `ownKey` finds it.
    private static func setKey(
        _ key: UInt, _ row: UnsafeMutablePointer<Atomic<UInt>>, _ slot: Int
    ) {
        if Watch.observer != nil { unsafe PresenceTable.keys(of: row)[slot] = key }
    }
}

extension Presence {
    /// The running thread's row.
    package static var row: PresenceRow { unsafe PresenceRow(words: ownRow()) }

    /// The row of another thread of the running thread's world, by the thread's number.
    package static func row(ofThread number: UInt32) -> PresenceRow {
        unsafe PresenceRow(words: World.current.presence.row(of: number))
    }
}
