// SPDX-License-Identifier: Apache-2.0

import Substrate

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
        name: String = "object's work", file: StaticString = #filePath, line: UInt = #line,
        _ function: @escaping @Sendable (consuming Reference<Object>) -> Void
    ) {
        super.init(name: name, .withPayload { function(Reference(bits: $0)) }, Site(file, line))
    }

    override func discard(_ payload: UInt) { _ = Reference<Object>(bits: payload) }

    override func hasten() -> Bool { home?.timers.expire(self) ?? false }
}
