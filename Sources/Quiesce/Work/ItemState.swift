// SPDX-License-Identifier: Apache-2.0

/// The word of an item: whether it is pending, and on which queue; where it was last; how often it
/// is disabled.
///
/// It becomes pending under the lock of its queue's intake. While its timer runs, that ends under
/// the timers' lock; in the queue, under the lock of its workers, and by a canceller under
/// both. So a thread that holds both and reads that it is pending there finds it in the queue.
enum ItemState {
    private static let pendingBit: UInt64 = 1
    /// Its timer has not fired.
    static let armed: UInt64 = 2
    static let oneDisable: UInt64 = 4
    static let depthLimit: UInt64 = 0xffff
    private static let queueShift: UInt64 = 18

    static func isPending(_ state: UInt64) -> Bool { state & pendingBit != 0 }
    static func isArmed(_ state: UInt64) -> Bool { state & armed != 0 }
    static func depth(_ state: UInt64) -> UInt64 { state / oneDisable & depthLimit }
    /// The number of the queue where it is pending, or was last; 0 before it was anywhere.
    static func queue(_ state: UInt64) -> UInt64 { state >> queueShift }
    static func home(of queue: UInt64) -> UInt64 { queue << queueShift }
    static func pending(_ queue: UInt64, _ isArmed: Bool) -> UInt64 {
        home(of: queue) | pendingBit | (isArmed ? armed : 0)
    }

    /// What remains of a state when the item is not pending any more.
    static let idleMask: UInt64 = ~(pendingBit | armed)
}
