// SPDX-License-Identifier: Apache-2.0

/// What came of enqueueing an item with a reference.
public struct EnqueuedObject<Object: ReferenceCounted>: ~Copyable, Sendable {
    /// What came of it.
    public let answer: Enqueued
    /// The reference, unless it was queued. It is dropped where nobody takes it.
    public var reference: Reference<Object>?

    init(_ answer: Enqueued, _ reference: consuming Reference<Object>?) {
        self.answer = answer
        self.reference = reference
    }
}
