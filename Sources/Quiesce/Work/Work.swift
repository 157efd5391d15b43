// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A work item with a function.
///
///     let refill = Work(name: "refill") { pool.refill() }
///     queue.enqueue(refill)
///
/// The item keeps what its function captures. If that is the object that holds the item, use
/// `ObjectWork`.
public final class Work: WorkItem, @unchecked Sendable {
    public init(name: String = "work", _ function: @escaping @Sendable () -> Void) {
        super.init(name: name, .plain(function))
    }

    init(name: String, on queue: WorkQueue, _ function: @escaping @Sendable () -> Void) {
        super.init(name: name, .plain(function), on: queue)
    }
}

/// A work item that can also be enqueued for later. It is pending while its timer runs. Kernel
/// counterpart: `struct delayed_work`.
///
/// All timers of a process share one thread. `flush` ends the wait of a timer: the function runs
/// now.
public final class DelayedWork: WorkItem, @unchecked Sendable {
    public init(name: String = "delayed work", _ function: @escaping @Sendable () -> Void) {
        super.init(name: name, .plain(function))
    }

    override func hasten() -> Bool { home?.timers.expire(self) ?? false }
}

/// A work item of a counted object, which it is enqueued with a reference to. Its function is given
/// that reference.
///
///     final class Device: ReferenceCounted {
///         let referenceCount = ReferenceCount()
///         let reset = ObjectWork<Device>(name: "reset") { device in
///             device.withObject { $0.restart() }
///         }                                // the reference ends here, and perhaps the device and this item with it
///         func release() { … }
///     }
///     queue.enqueue(device.reset, device.share())
///
/// The queue gives the reference back when it has no use for it, because the item was already
/// pending: so no reference is leaked by that, as it is where one is taken by hand before queueing.
/// Kernel counterpart: `kref_get` and `queue_work`, where the caller must put what was not queued.
public final class ObjectWork<Object: ReferenceCounted>: WorkItem, @unchecked Sendable {
    public init(
        name: String = "object's work",
        _ function: @escaping @Sendable (consuming Reference<Object>) -> Void
    ) {
        super.init(name: name, .withPayload { function(Reference(bits: $0)) })
    }

    override func discard(_ payload: UInt) { _ = Reference<Object>(bits: payload) }

    override func hasten() -> Bool { home?.timers.expire(self) ?? false }
}

extension Reference {
    /// The reference that `bits` was made of, which is the caller's from here on.
    init(bits: UInt) {
        let pointer = unsafe UnsafeRawPointer(bitPattern: bits).unsafelyUnwrapped
        unsafe self.init(counted: Unmanaged.fromOpaque(pointer))
    }

    /// The reference as bits. It is to be made a reference again once.
    consuming func bits() -> UInt {
        let bits = unsafe UInt(bitPattern: object.toOpaque())
        discard self
        return bits
    }
}

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
