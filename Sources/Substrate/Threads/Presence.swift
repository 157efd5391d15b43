// SPDX-License-Identifier: Apache-2.0

public import CSubstrate
public import Synchronization

/// What each thread is inside of, announced without a locked instruction.
///
/// A thread writes a key into a slot of its own before it enters something, and clears the slot when it has left. Whoever wants
/// to wait until nobody is inside makes later entries fail, calls `membarrier()`, and looks at the slots of all threads. The
/// announcement is an asymmetric store: it costs a plain store, and the barrier of the other side makes it visible.
///
/// Announcements nest and end in reverse order. A key is a nonzero even number, such as an object's address.
public enum Presence {
    /// How many announcements a thread can have at once.
    public static let depthLimit = 7

    /// Announces `key`. Accesses that follow in the program stay behind it once another thread's `membarrier()` is over.
    ///
    /// - Parameter section: what it is a section of, for whoever watches.
    /// - Returns: the slot, to be given to `leave`; -1 when the thread has `depthLimit` announcements already.
    @inlinable
    @inline(__always)
    public static func enter(
        _ key: UInt, section: @autoclosure () -> WaitClass, file: StaticString = #filePath, line: UInt = #line
    ) -> Int32 {
        let block = unsafe quiesce_current_block()
        guard let slots = unsafe block.pointee.slots else { return enterSlow(key, section(), file, line) }
        let depth = unsafe block.pointee.depth
        guard depth < UInt32(depthLimit) else { return -1 }
        unsafe slots.assumingMemoryBound(to: Synchronization.Atomic<UInt>.self)[Int(depth)]
            .store(key, ordering: .releasing)
        quiesce_compiler_barrier()
        unsafe block.pointee.depth = depth &+ 1
        return Int32(bitPattern: depth)
    }

    /// Ends the announcement in `slot`, the last one of the running thread. Releases: what was done inside happens before it.
    @inlinable
    @inline(__always)
    public static func leave(
        _ slot: Int32, section: @autoclosure () -> WaitClass, file: StaticString = #filePath, line: UInt = #line
    ) {
        let block = unsafe quiesce_current_block()
        guard let slots = unsafe block.pointee.slots else { return leaveSlow(slot, section(), file, line) }
        unsafe slots.assumingMemoryBound(to: Synchronization.Atomic<UInt>.self)[Int(slot)]
            .store(0, ordering: .releasing)
        quiesce_compiler_barrier()
        unsafe block.pointee.depth = UInt32(bitPattern: slot)
    }

    /// Whether the running thread has announced `key` and not hidden it.
    public static func isInside(_ key: UInt) -> Bool { unsafe own { unsafe $1.contains(key) } ?? false }

    /// How many announcements of `key` the running thread has, those that it has hidden included.
    public static func count(_ key: UInt) -> Int {
        unsafe own { _, keys in unsafe keys.count { $0 & ~1 == key } } ?? 0
    }

    /// Hides the running thread's announcements of `key`: from here on it does not count as inside. Returns how many.
    @discardableResult
    public static func hide(_ key: UInt, file: StaticString = #filePath, line: UInt = #line) -> Int {
        rewrite(key, to: key | 1, file, line)
    }

    /// Makes the running thread's hidden announcements of `key` count again.
    public static func reveal(_ key: UInt, file: StaticString = #filePath, line: UInt = #line) {
        _ = rewrite(key | 1, to: key, file, line)
    }

    /// The threads that have announced `key`, by number. Acquires: what a thread that is not among them did inside happens before.
    ///
    /// Call `membarrier()` first. Reads one cache line for every thread of the world.
    public static func threads(inside key: UInt, file: StaticString = #filePath, line: UInt = #line) -> [UInt32] {
        var result: [UInt32] = []
        scan(key, file, line) {
            result.append($0)
            return true
        }
        return result
    }

    /// Whether a thread has announced `key`, as `threads(inside:)` would tell.
    public static func isAnyoneInside(_ key: UInt, file: StaticString = #filePath, line: UInt = #line) -> Bool {
        var isFound = false
        scan(key, file, line) { _ in
            isFound = true
            return false
        }
        return isFound
    }

    private static func scan(_ key: UInt, _ file: StaticString, _ line: UInt, _ found: (UInt32) -> Bool) {
        let world = World.current
        if let observer = Watch.observer {
            for number in observer.with({ $0.threads(at: Site(file, line)) }) {
                let row = unsafe world.presence.row(of: number)
                unsafe nameSlots(of: number, row, observer)
                if unsafe isInside(key, row, file, line), !found(number) { return }
            }
            return
        }
        let highest = world.highestThread()
        guard highest > 0 else { return }
        for number in 1...highest {
            if unsafe isInside(key, world.presence.row(of: number), file, line), !found(number) { return }
        }
    }

    private static func isInside(
        _ key: UInt, _ row: UnsafeMutablePointer<Atomic<UInt>>, _ file: StaticString, _ line: UInt
    ) -> Bool {
        for slot in 0..<depthLimit {
            // Taken slots come first: announcements nest.
            let word = unsafe row[slot].load(ordering: .acquiring, file: file, line: line)
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
    static func enterSlow(_ key: UInt, _ section: WaitClass, _ file: StaticString, _ line: UInt) -> Int32 {
        let row = unsafe ownRow()
        let block = unsafe quiesce_current_block()
        let depth = unsafe block.pointee.depth
        guard depth < UInt32(depthLimit) else { return -1 }
        section.begin()
        unsafe block.pointee.depth = depth + 1
        unsafe PresenceTable.keys(of: row)[Int(depth)] = key
        unsafe row[Int(depth)].storeAsymmetric(key, file: file, line: line)
        describe(section.name)
        return Int32(bitPattern: depth)
    }

    @usableFromInline
    @inline(never)
    static func leaveSlow(_ slot: Int32, _ section: WaitClass, _ file: StaticString, _ line: UInt) {
        let row = unsafe ownRow()
        unsafe row[Int(slot)].storeAsymmetric(0, file: file, line: line)
        describe("free")
        unsafe quiesce_current_block().pointee.depth = UInt32(bitPattern: slot)
        section.end()
    }

    /// The running thread's row, found and named at its first use.
    private static func ownRow() -> UnsafeMutablePointer<Atomic<UInt>> {
        let block = unsafe quiesce_current_block()
        if let row = unsafe block.pointee.row { return unsafe row.assumingMemoryBound(to: Atomic<UInt>.self) }
        let number = LockWord.token()
        let row = unsafe World.current.presence.row(of: number)
        unsafe block.pointee.row = UnsafeMutableRawPointer(row)
        if let observer = Watch.observer {
            unsafe nameSlots(of: number, row, observer)
        } else {
            if Membarrier.support == .expedited { unsafe block.pointee.slots = UnsafeMutableRawPointer(row) }
        }
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

    /// The keys that the running thread has announced. Its own business: reading them is no step.
    private static func own<Result>(
        _ body: (UnsafeMutablePointer<Atomic<UInt>>, UnsafeMutableBufferPointer<UInt>) -> Result
    ) -> Result? {
        let block = unsafe quiesce_current_block()
        guard unsafe block.pointee.depth > 0, let row = unsafe block.pointee.row else { return nil }
        let slots = unsafe row.assumingMemoryBound(to: Atomic<UInt>.self)
        let keys = unsafe PresenceTable.keys(of: slots)
        let depth = unsafe Int(block.pointee.depth)
        if unsafe block.pointee.slots != nil {
            // The fast path writes the slots alone.
            for slot in 0..<depth { unsafe keys[slot] = slots[slot].load(ordering: .relaxed) }
        }
        return unsafe body(slots, UnsafeMutableBufferPointer(start: keys, count: depth))
    }

    private static func rewrite(_ old: UInt, to new: UInt, _ file: StaticString, _ line: UInt) -> Int {
        unsafe own { slots, keys in
            var count = 0
            for slot in keys.indices where unsafe keys[slot] == old {
                unsafe keys[slot] = new
                unsafe slots[slot].storeAsymmetric(new, file: file, line: line)
                count += 1
            }
            return count
        } ?? 0
    }
}

/// The rows of a world's threads, by number. Rows come in chunks that double, and stay where they are.
@safe
final class PresenceTable: Sendable {
    /// A row is two cache lines: the slots, the system's number of the thread, and a copy of the keys for the thread alone.
    static let rowWords = 16
    private static let threadID = Presence.depthLimit

    private static let firstChunk = 8
    /// The chunks' addresses; 0 for one that nobody needed so far.
    private let chunks: InlineArray<28, Synchronization.Atomic<UInt>> = InlineArray { _ in Synchronization.Atomic(0) }

    deinit {
        for chunk in chunks.indices {
            unsafe UnsafeMutableRawPointer(bitPattern: chunks[chunk].load(ordering: .relaxed))?.deallocate()
        }
    }

    static func keys(of row: UnsafeMutablePointer<Atomic<UInt>>) -> UnsafeMutablePointer<UInt> {
        unsafe UnsafeMutableRawPointer(row + 8).assumingMemoryBound(to: UInt.self)
    }

    /// The row of a thread. Made when nobody has asked for it before.
    func row(of number: UInt32) -> UnsafeMutablePointer<Atomic<UInt>> {
        // Chunk c holds 8 << c rows and begins with number 8 * (2^c - 1).
        let position = Int(number) + Self.firstChunk
        let chunk = Int.bitWidth - 1 - position.leadingZeroBitCount - Self.firstChunk.trailingZeroBitCount
        let index = position - Self.firstChunk << chunk
        let base =
            unsafe UnsafeMutableRawPointer(bitPattern: chunks[chunk].load(ordering: .acquiring)) ?? makeChunk(chunk)
        return unsafe base.assumingMemoryBound(to: Atomic<UInt>.self) + index * Self.rowWords
    }

    private func makeChunk(_ chunk: Int) -> UnsafeMutableRawPointer {
        let size = (Self.firstChunk << chunk) * Self.rowWords * 8
        let made = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 128)
        unsafe made.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        let (isMine, found) = chunks[chunk].compareExchange(
            expected: 0, desired: UInt(bitPattern: made), ordering: .acquiringAndReleasing)
        guard !isMine, let found = unsafe UnsafeMutableRawPointer(bitPattern: found) else { return unsafe made }
        unsafe made.deallocate()
        return unsafe found
    }

    /// The system's number of the thread; 0 when there is none.
    func threadID(of number: UInt32) -> UInt { unsafe row(of: number)[Self.threadID].raw.load(ordering: .relaxed) }

    func note(_ threadID: UInt, threadOf number: UInt32) {
        unsafe row(of: number)[Self.threadID].raw.store(threadID, ordering: .relaxed)
    }

    /// Clears the slots of a thread that is no more.
    func clear(_ number: UInt32) {
        let row = unsafe row(of: number)
        for word in 0...Presence.depthLimit { unsafe row[word].raw.store(0, ordering: .releasing) }
    }
}
