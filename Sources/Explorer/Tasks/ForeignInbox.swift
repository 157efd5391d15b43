// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// Where threads that nobody explores leave what they do to the tasks of an exploration.
///
/// The C side, `inbox.c`, knows the tasks of all explorations and outlives them.
@safe
final class ForeignInbox {
    private let pointer: OpaquePointer

    init() {
        guard let pointer = unsafe quiesce_inbox_create() else {
            fatalError("no memory for an exploration")
        }
        unsafe self.pointer = pointer
    }

    deinit { unsafe quiesce_inbox_destroy(pointer) }

    /// Whether a message waits to be read.
    @inline(__always)
    var hasMail: Bool { unsafe quiesce_inbox_has_mail(pointer) }

    /// Whether another thread has ever done anything to a task of the exploration.
    var wasUsed: Bool { unsafe quiesce_inbox_was_used(pointer) }

    /// The program has given work to a thread that nobody explores, or has woken one: a trap of
    /// such a thread may be this exploration's.
    func expectOthers() { unsafe quiesce_inbox_expect_others(pointer) }

    /// The exploration waits for another thread. Returns a trap that may be the reason; one that
    /// another exploration may have caused only where this one gives up waiting.
    func claimTrap(inVain: Bool) -> quiesce_trap? {
        unsafe quiesce_inbox_claim_trap(pointer, inVain)?.pointee
    }

    /// The explorations of this thread are over, whatever their programs left behind.
    static func endExplorations() { quiesce_inbox_end_explorations() }

    /// The task at `address` belongs to the exploration.
    func add(_ address: UInt) {
        unsafe quiesce_inbox_add(pointer, UnsafeMutableRawPointer(bitPattern: address)!)
    }

    /// The task at `address` has completed.
    func remove(_ address: UInt) {
        unsafe quiesce_inbox_remove(UnsafeMutableRawPointer(bitPattern: address)!)
    }

    func take() -> quiesce_arrival? {
        var arrival = unsafe quiesce_arrival()
        return unsafe quiesce_inbox_take(pointer, &arrival) ? arrival : nil
    }

    /// Waits for a message. False when none has come in time.
    func wait(nanoseconds: UInt64) -> Bool { unsafe quiesce_inbox_wait(pointer, nanoseconds) }

    /// The execution is over: none of its tasks is ever run again.
    func retire() { unsafe quiesce_inbox_retire(pointer) }
}

extension JobCapture {
    /// Gives a job that a thread enqueues which nobody explores to the exploration that it belongs
    /// to. False where it belongs to none.
    static func captureElsewhere(
        _ job: UInt, kind: UInt8, on place: ThreadRecord.Place
    ) -> Bool {
        guard quiesce_inbox_any() else { return false }
        return unsafe quiesce_inbox_give(
            UnsafeMutableRawPointer(bitPattern: job)!, kind, place == .main)
    }
}
