// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A driver's structure with its `struct work_struct`: one is freed with the other.
struct KernelItem: ~Copyable, Sendable {
    /// `WORK_STRUCT_PENDING`
    let pending = Atomic<UInt>(0)
    let function: Unsynchronized<KernelFunction>
    /// `lockdep_map`: what the lock validator knows a run of the item by.
    let lockMap = Unsynchronized("map")

    /// The driver's own: how many use the structure, and what the function does with it.
    let kref = Atomic(1)
    let started = Unsynchronized(0)
    let finished = Unsynchronized(0)

    private init(_ function: KernelFunction) {
        self.function = Unsynchronized(function)
    }

    /// `kmalloc` and `INIT_WORK`
    ///
    /// - Parameter function: what tells the item's function from others; no two functions that
    ///   differ have one name.
    static func allocate(
        _ name: String, function: String = "function",
        _ call: @escaping @Sendable (Storage<KernelItem>) -> Void
    ) -> Storage<KernelItem> {
        let function = KernelFunction(name: function, call: call)
        let item = Storage.allocate(KernelItem(function), name: name)
        item.pointee.pending.label("pending")
        item.pointee.function.label("func")
        item.pointee.lockMap.label("lockdep_map")
        item.pointee.kref.label("kref")
        item.pointee.started.label("started")
        item.pointee.finished.label("finished")
        return item
    }
}

/// `work_func_t`
struct KernelFunction: Sendable {
    /// Stands for the function's address.
    let name: String
    let call: @Sendable (Storage<KernelItem>) -> Void
}

extension KernelFunction: CustomStringConvertible {
    var description: String { name }
}

extension Storage<KernelItem> {
    /// `kref_get`
    func get() { pointee.kref.wrappingAdd(1, ordering: .relaxed) }

    /// `kref_put`, with `kfree` for its release.
    func put() {
        if pointee.kref.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
            unsafe free()
        }
    }
}
