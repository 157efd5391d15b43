// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Substrate

/// The driver's structure again, with what Quiesce offers: counted, with an item that is enqueued
/// with a reference.
final class Device: ReferenceCounted {
    let referenceCount = ReferenceCount()
    let reset: ObjectWork<Device>
    let started = Unsynchronized(0)
    let finished = Unsynchronized(0)

    init(_ function: @escaping @Sendable (consuming Reference<Device>) -> Void) {
        reset = ObjectWork(name: "reset", function)
        started.label("started")
        finished.label("finished")
    }

    func release() {}
}

/// Where others find the device, until its owner takes it out.
final class DeviceTable: Sendable {
    private let device: Mutex<Reference<Device>?>

    init(_ reference: consuming Reference<Device>) {
        device = Mutex(reference)
        device.label("device table")
    }

    func find() -> Reference<Device>? { device.withLock { $0?.share() } }

    func remove() {
        let last = device.withLock { $0.take() }
        last?.drop()
    }
}

extension WorkQueue {
    /// Enqueues the device's item with this reference.
    @discardableResult
    func enqueueReset(_ device: consuming Reference<Device>) -> Enqueued {
        let item = device.withObject { $0.reset }
        return enqueue(item, device).answer
    }
}
