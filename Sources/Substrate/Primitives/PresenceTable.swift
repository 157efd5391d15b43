// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The rows of a world's threads, by number. Rows come in chunks that double, and stay where they
/// are.
@safe
final class PresenceTable: Sendable {
    /// A row is two cache lines. The first one is what other threads scan: the slots, and the
    /// epoch. The second one is the thread's own, so that writing it does not disturb a scan: a
    /// copy of the keys for while it is observed, and in its last word the system's number of the
    /// thread, the count of read sections, and the mark of fork sections. The two do not fit into
    /// one line, since the slots and the copy of the keys have seven words each.
    static let rowWords = 16
    static let epoch = Presence.depthLimit
    private static let keys = 8
    /// Its first half; the count and the mark follow.
    private static let threadID = keys + Presence.depthLimit

    private static let firstChunk = 8
    /// The chunks' addresses; 0 for one that nobody needed so far.
    private let chunks: InlineArray<28, Synchronization.Atomic<UInt>> = InlineArray { _ in
        Synchronization.Atomic(0)
    }

    deinit {
        for chunk in chunks.indices {
            unsafe UnsafeMutableRawPointer(bitPattern: chunks[chunk].load(ordering: .relaxed))?
                .deallocate()
        }
    }

    static func keys(of row: UnsafeMutablePointer<Atomic<UInt>>) -> UnsafeMutablePointer<UInt> {
        unsafe UnsafeMutableRawPointer(row + keys).assumingMemoryBound(to: UInt.self)
    }

    /// The row of a thread. Made when nobody has asked for it before.
    func row(of number: UInt32) -> UnsafeMutablePointer<Atomic<UInt>> {
        // Chunk c holds 8 << c rows and begins with number 8 * (2^c - 1).
        let position = Int(number) + Self.firstChunk
        let chunk =
            Int.bitWidth - 1 - position.leadingZeroBitCount - Self.firstChunk.trailingZeroBitCount
        let index = position - Self.firstChunk << chunk
        let base =
            unsafe UnsafeMutableRawPointer(bitPattern: chunks[chunk].load(ordering: .acquiring))
            ?? makeChunk(chunk)
        return unsafe base.assumingMemoryBound(to: Atomic<UInt>.self) + index * Self.rowWords
    }

    private func makeChunk(_ chunk: Int) -> UnsafeMutableRawPointer {
        let size = (Self.firstChunk << chunk) * Self.rowWords * 8
        let made = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 128)
        unsafe made.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        let (isMine, found) = chunks[chunk].compareExchange(
            expected: 0, desired: UInt(bitPattern: made), ordering: .acquiringAndReleasing)
        guard !isMine, let found = unsafe UnsafeMutableRawPointer(bitPattern: found) else {
            return unsafe made
        }
        unsafe made.deallocate()
        return unsafe found
    }

    /// How many read sections the thread is inside of.
    static func nesting(
        of row: UnsafeMutablePointer<Atomic<UInt>>
    ) -> UnsafeMutablePointer<UInt16> {
        unsafe UnsafeMutableRawPointer(row + threadID).assumingMemoryBound(to: UInt16.self) + 2
    }

    /// Not 0 while the thread is inside of a fork section.
    func forkMark(
        of number: UInt32
    ) -> UnsafeMutablePointer<Synchronization.Atomic<UInt8>> {
        unsafe UnsafeMutableRawPointer(row(of: number) + Self.threadID)
            .assumingMemoryBound(to: Synchronization.Atomic<UInt8>.self) + 6
    }

    /// The system's number of the thread; 0 when there is none.
    func threadID(of number: UInt32) -> UInt {
        UInt(unsafe threadIDWord(number).pointee.load(ordering: .relaxed))
    }

    func note(_ threadID: UInt, threadOf number: UInt32) {
        unsafe threadIDWord(number).pointee
            .store(UInt32(truncatingIfNeeded: threadID), ordering: .relaxed)
    }

    private func threadIDWord(
        _ number: UInt32
    ) -> UnsafeMutablePointer<Synchronization.Atomic<UInt32>> {
        unsafe UnsafeMutableRawPointer(row(of: number) + Self.threadID)
            .assumingMemoryBound(to: Synchronization.Atomic<UInt32>.self)
    }

    /// Clears the row of a thread that is no more.
    func clear(_ number: UInt32) {
        let row = unsafe row(of: number)
        for word in 0...Self.epoch { unsafe row[word].raw.store(0, ordering: .releasing) }
        for slot in 0..<Presence.depthLimit { unsafe Self.keys(of: row)[slot] = 0 }
        unsafe Self.nesting(of: row).pointee = 0
        note(0, threadOf: number)
        unsafe forkMark(of: number).pointee.store(0, ordering: .relaxed)
    }

    /// Whether the thread is inside of anything.
    func isInside(_ number: UInt32) -> Bool {
        unsafe row(of: number)[0].raw.load(ordering: .relaxed) != 0
    }
}
