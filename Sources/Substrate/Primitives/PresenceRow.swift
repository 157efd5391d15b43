// SPDX-License-Identifier: Apache-2.0

/// What a thread's row of the presence table has beside its slots: room for grace periods, whose
/// readers announce an epoch rather than a key.
///
/// Both words are 0 when the thread registers, and are cleared when it ends and in a forked child.
@safe
package struct PresenceRow {
    private let words: UnsafeMutablePointer<Atomic<UInt>>

    init(words: UnsafeMutablePointer<Atomic<UInt>>) { unsafe self.words = unsafe words }

    /// The epoch in which the thread began its outermost read section; 0 outside. It is in the
    /// cache line of the slots, which waiting threads scan. The thread itself writes it.
    package var epoch: Atomic<UInt> {
        unsafeAddress { unsafe UnsafePointer(words + PresenceTable.epoch) }
    }

    /// How many read sections the thread is inside of. Only the thread itself may use it.
    package var nesting: UInt16 {
        get { unsafe PresenceTable.nesting(of: words).pointee }
        nonmutating set { unsafe PresenceTable.nesting(of: words).pointee = newValue }
    }
}
