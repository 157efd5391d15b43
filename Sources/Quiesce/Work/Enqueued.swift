// SPDX-License-Identifier: Apache-2.0

/// What came of enqueueing an item.
public enum Enqueued: Sendable {
    /// Its function will be called.
    case queued
    /// It was pending before, here or elsewhere, and its function will be called once.
    case alreadyPending
    /// It is disabled. Nothing was done.
    case disabled
    /// The queue is being drained, or is or was destroyed, and the caller is not one of its items.
    /// Nothing was done.
    case draining
}
