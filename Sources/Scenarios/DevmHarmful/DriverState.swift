// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A driver's private structure.
struct DriverState: ~Copyable, Sendable {
    /// For a driver that counts the references to its structure.
    let kref = Atomic(1)
    fileprivate let streaming = Unsynchronized(false)

    /// `kzalloc`
    static func allocate(_ name: String = "state") -> Storage<DriverState> {
        let state = Storage.allocate(DriverState(), name: name)
        state.pointee.kref.label("kref")
        state.pointee.streaming.label("streaming")
        return state
    }
}

extension Storage<DriverState> {
    /// `kref_get`
    func get() { pointee.kref.wrappingAdd(1, ordering: .relaxed) }

    /// `kref_put`, with a release function that frees the structure.
    func put() {
        if pointee.kref.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
            unsafe free()
        }
    }

    /// Reads a member, as the driver's operations and handlers do.
    func use() { _ = pointee.streaming.load() }
}

/// Registers that a driver has mapped. Freeing them is `iounmap`.
struct Registers: ~Copyable, Sendable {
    private let status = Unsynchronized(0)

    /// `ioremap`
    static func map(_ name: String = "registers") -> Storage<Registers> {
        let registers = Storage.allocate(Registers(), name: name)
        registers.pointee.status.label("status")
        return registers
    }

    /// `readl`
    func readStatus() { _ = status.load() }
}
