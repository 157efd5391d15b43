// SPDX-License-Identifier: Apache-2.0

public import CSubstrate
import Synchronization

/// A kind of lock: all locks that one line of the source makes.
///
/// A validator orders classes, not locks, so that what it learns from one lock holds for all that
/// are made at the same place. The number is computed from the place, so making a lock needs no
/// table. Two lines of one file never have the same number; two lines of different files have it
/// with a probability of about 1 in 2^32. The number differs from run to run.
///
/// Kernel counterpart: `struct lock_class_key`.
@frozen
public struct LockClass: Sendable, Hashable, BitwiseCopyable {
    /// What identifies the class in this process.
    public let number: UInt32

    /// The class of the locks that `site` makes.
    @inlinable
    @inline(__always)
    public init(_ site: Observer.Site) {
        number = Self.number(of: site)
        if _slowPath(quiesce_wants_lock_sites()) { LockSites.shared.note(site) }
    }

    /// The class as a listener keeps it: by its number alone.
    @inlinable
    public init(number: UInt32) {
        self.number = number
    }

    /// Where the locks of this class are made; nil when all of them were made before the first
    /// observer or listener of the process, or the table of places was full.
    public var site: Observer.Site? { LockSites.shared.site(of: number) }

    /// The high half of a product with an odd number: lines below 2^24 change its upper 24 bits,
    /// each in its own way.
    @inlinable
    @inline(__always)
    static func number(of site: Observer.Site) -> UInt32 {
        let place = UInt64(site.fileAddress) &+ UInt64(site.line) &<< 40
        return UInt32(truncatingIfNeeded: (place &* 0x9e37_79b9_7f4a_7c15) &>> 32)
    }

    /// Makes locks note where they are made, from now on.
    static func wantSites() {
        // Made here, so that no thread forks while another one makes it for the first lock.
        _ = LockSites.shared
        quiesce_want_lock_sites()
    }
}

/// The places where locks have been made, since somebody wants to know.
///
/// A place is one word, and words are only ever added, so that neither a lock nor an allocation is
/// needed and a fork finds no entry half written.
@safe
@usableFromInline
final class LockSites: @unchecked Sendable {
    // Unchecked: the memory is atomics, and is never given back.
    @usableFromInline static let shared = LockSites()

    /// How many places the table can hold, a power of 2. It is the number of lines that make locks,
    /// not of locks.
    private static let capacity = 1 << 13
    /// How many words a search looks at before it gives up.
    private static let reach = 64
    private static let addressBits: UInt64 = 48

    private let words: UnsafeMutablePointer<Synchronization.Atomic<UInt64>>

    private init() {
        let bytes = UnsafeMutableRawPointer.allocate(byteCount: Self.capacity * 8, alignment: 64)
        unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0, count: Self.capacity * 8)
        unsafe words = bytes.assumingMemoryBound(to: Synchronization.Atomic<UInt64>.self)
    }

    /// Keeps `site`, once. Does nothing where the table is full.
    @usableFromInline
    @inline(never)
    func note(_ site: Observer.Site) {
        let place = UInt64(site.fileAddress) | UInt64(site.line) &<< Self.addressBits
        guard place != 0, Self.site(place) == site else { return }
        for index in Self.indices(LockClass.number(of: site)) {
            let found = unsafe words[index].load(ordering: .relaxed)
            if found == place { return }
            guard found == 0 else { continue }
            // Relaxed: the word says everything.
            let original = unsafe words[index].compareExchange(
                expected: 0, desired: place, ordering: .relaxed
            ).original
            if original == 0 || original == place { return }
        }
    }

    func site(of number: UInt32) -> Site? {
        for index in Self.indices(number) {
            let place = unsafe words[index].load(ordering: .relaxed)
            guard place != 0 else { return nil }
            let site = Self.site(place)
            if LockClass.number(of: site) == number { return site }
        }
        return nil
    }

    private static func site(_ place: UInt64) -> Site {
        Site(
            fileAddress: UInt(place & (1 &<< addressBits &- 1)), line: UInt(place &>> addressBits))
    }

    private static func indices(_ number: UInt32) -> some Sequence<Int> {
        // The upper bits, in which the lines of a file differ.
        let first = Int(number) / (1 << 32 / capacity)
        return (0..<reach).lazy.map { (first + $0) & (capacity - 1) }
    }
}
