// SPDX-License-Identifier: Apache-2.0

/// What an operation does to its object.
public enum OperationKind: UInt8, Sendable, BitwiseCopyable {
    // Atomics
    case load, store, asymmetricStore, readModifyWrite, compareExchange, fence, membarrier
    // Locks
    case lock, tryLock, unlock
    case readLock, tryReadLock, readUnlock, writeLock, tryWriteLock, writeUnlock
    // Waiting
    case wait, signal, broadcast, parkWhile, wake
    case join, sleep, readClock
    // Plain memory
    case allocate, free, plainRead, plainWrite
    // Marks set by a story
    case mark
}
