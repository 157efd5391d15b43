// SPDX-License-Identifier: Apache-2.0

/// One operation on one lock, as a passive listener is told of it.
public struct LockOperation: Sendable, BitwiseCopyable {
    /// `.lock`, `.tryLock` or `.unlock` of a `Mutex`; `.readLock`, `.tryReadLock`, `.readUnlock`,
    /// `.writeLock`, `.tryWriteLock` or `.writeUnlock` of an `RWLock`.
    public let kind: OperationKind
    /// The address of the lock, its identity while it lives.
    public let address: UInt
    /// Where the lock was made.
    public let lockClass: LockClass
    /// The place in the source that performs the operation.
    public let site: Observer.Site
}
