// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

/// A node in `/dev` that leads to a driver: a `struct cdev` with the `struct device` around it,
/// such as `struct video_device`.
struct DeviceNode: ~Copyable, Sendable {
    /// What keeps the operations of open files from a driver that has been unbound.
    enum Mode {
        /// An operation first checks that the node is registered, as `v4l2_ioctl` does by
        /// `video_is_registered`.
        case checked
        /// An operation holds an active reference, and unregistering waits until there is none: the
        /// queued mode that was proposed for `struct cdev` in January 2021.
        case queued
    }

    /// `dev.kobj.kref`: the driver holds one reference, each open file another.
    let kref = Atomic(1)
    /// Bit 0: `V4L2_FL_REGISTERED`, for mode `.checked`.
    let flags = Atomic(1)
    /// The operations that are under way, for mode `.queued`.
    let active = ActiveCount()
    let minor: Int
    let mode: Mode
    let operations: FileOperations
    /// `dev.release`: called by the last put.
    let release: @Sendable (Storage<DeviceNode>) -> Void

    private init(
        _ minor: Int, _ mode: Mode, _ operations: FileOperations,
        _ release: @escaping @Sendable (Storage<DeviceNode>) -> Void
    ) {
        self.minor = minor
        self.mode = mode
        self.operations = operations
        self.release = release
    }

    /// `video_device_alloc`
    ///
    /// - Parameter release: `video_device_release` unless another is given.
    static func allocate(
        minor: Int = 0, mode: Mode = .checked, operations: FileOperations = FileOperations(),
        release: @escaping @Sendable (Storage<DeviceNode>) -> Void = { unsafe $0.free() }
    ) -> Storage<DeviceNode> {
        let node = Storage.allocate(
            DeviceNode(minor, mode, operations, release), name: "video\(minor)")
        node.pointee.kref.label("kref")
        node.pointee.flags.label("flags")
        node.pointee.active.label("active")
        return node
    }
}

extension Storage<DeviceNode> {
    /// `cdev_get`: fails when the count is zero.
    func getUnlessZero() -> Bool {
        var count = pointee.kref.load(ordering: .relaxed)
        while count != 0 {
            let (exchanged, original) = pointee.kref.compareExchange(
                expected: count, desired: count + 1, ordering: .relaxed)
            if exchanged { return true }
            count = original
        }
        return false
    }

    /// `put_device`: the last put calls the node's `release`.
    func put() {
        let count = pointee.kref.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
        expect(count >= 0, "refcount_t: underflow of \(self).kref")
        if count == 0 { pointee.release(self) }
    }

    /// Calls an operation of the driver, unless the node is no longer registered.
    func call(_ operation: FileOperation) throws(KernelError) {
        switch pointee.mode {
        case .checked:
            guard pointee.flags.load(ordering: .acquiring) & 1 != 0 else { throw .noDevice }
            try operation()
        case .queued:
            guard pointee.active.tryGetLive() else { throw .noDevice }
            defer { pointee.active.put() }
            try operation()
        }
    }

    /// Ends the driver's part in `call`.
    ///
    /// - Parameter wakeReaders: what the driver does to end operations that sleep.
    func unregister(wakeReaders: () -> Void) {
        switch pointee.mode {
        case .checked: pointee.flags.bitwiseAnd(~1, ordering: .releasing)
        case .queued:
            pointee.active.kill()
            wakeReaders()
            pointee.active.wait()
        }
    }
}
