// SPDX-License-Identifier: Apache-2.0

/// What an operation does to its object.
public enum OperationKind: UInt8, Sendable {
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

/// One operation on one object, as an observer sees it before it happens.
public struct Operation {
    public var kind: OperationKind
    public var order: MemoryOrder
    /// The order that counts when a compare-exchange fails.
    public var failureOrder: MemoryOrder
    /// Whether the operation prefers its object's readers (`RWLock`).
    public var prefersReaders = false
    /// Whether a wait is for somebody to serve: it may last for ever.
    public var isIdle = false
    /// The address of the object, its identity while it lives. 0 where there is none (a fence).
    public var object: UInt
    /// A second object: the mutex of a condition wait, the thread of a join.
    public var other: UInt = 0
    /// The bits that a compare-exchange or a parking wait expects, a store writes; the count of a
    /// wake; the size of an allocation.
    public var operand: Bits = Bits()
    /// When a wait or a sleep ends, in monotonic nanoseconds; 0 for never.
    public var deadline: UInt64 = 0
    public var site: Site

    @inlinable
    public init(
        _ kind: OperationKind, _ object: UInt, _ order: MemoryOrder,
        failure: MemoryOrder = .relaxed, site: Site
    ) {
        self.kind = kind
        self.object = object
        self.order = order
        self.failureOrder = failure
        self.site = site
    }
}

/// Up to sixteen bytes of a value's atomic representation.
public struct Bits: Equatable, Sendable, BitwiseCopyable {
    public var low: UInt64
    public var high: UInt64

    @inlinable
    public init(low: UInt64 = 0, high: UInt64 = 0) {
        self.low = low
        self.high = high
    }

    /// The bytes of `value`, which is at most sixteen long and holds no references.
    @inlinable
    public init<Value>(of value: Value) {
        self.init()
        let size = MemoryLayout<Value>.size
        unsafe withUnsafeBytes(of: value) { source in
            unsafe withUnsafeMutableBytes(of: &self) { target in
                unsafe target.baseAddress!.copyMemory(
                    from: source.baseAddress!, byteCount: min(size, 16))
            }
        }
    }

    /// The value whose bytes these are.
    @inlinable
    public func value<Value>(as type: Value.Type) -> Value {
        unsafe withUnsafeBytes(of: self) { unsafe $0.loadUnaligned(as: Value.self) }
    }
}
