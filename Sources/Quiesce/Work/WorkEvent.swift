// SPDX-License-Identifier: Apache-2.0

/// What a tracer is told.
public struct WorkEvent: Sendable, Hashable {
    /// The identity of the item.
    public let item: WorkID
    public let name: String
    public let queue: String
    /// Which of the queue's enqueueings it is, counted from 1.
    public let ticket: UInt64
}
