// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

/// `struct device` with the resources that its driver has managed by it.
final class KernelDevice: Sendable {
    private let world: ExploredWorld
    /// `device_lock`: held while a driver is bound or unbound.
    private let lock = Mutex(())
    /// `devres_head`
    private let resources = Unsynchronized<[ManagedResource]>([])
    /// `links.consumers`: how the drivers of devices that depend on this one are unbound.
    private let unbindConsumers: [@Sendable () -> Void]

    init(
        _ name: String = "dev", in world: ExploredWorld,
        unbindConsumers: [@Sendable () -> Void] = []
    ) {
        self.world = world
        self.unbindConsumers = unbindConsumers
        lock.label(name + ".lock")
        resources.label(name + ".devres")
    }

    /// `devm_add_action`: `release` is called when the driver is unbound.
    func manage(_ name: String, release: @escaping @Sendable () -> Void) {
        resources.withValue { $0.append(ManagedResource(name: name, release: release)) }
    }

    /// Manages memory, as `devm_kzalloc` does: it is freed when the driver is unbound.
    func manage<Value: ~Copyable & Sendable>(_ memory: Storage<Value>) {
        manage("\(memory)") { unsafe memory.free() }
    }

    /// `really_probe`: calls the driver's `probe`. If that fails, the managed resources are
    /// released.
    func probe<Result, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        lock.lock()
        defer { lock.unlock() }
        world.note("probe")
        do throws(Failure) {
            return try body()
        } catch {
            world.note("probe: \(error)")
            releaseAll()
            throw error
        }
    }

    /// `device_release_driver`: unbinds the drivers of consumers, calls the driver's `remove`, and
    /// releases the managed resources.
    func unbind(remove: () -> Void = {}) {
        for unbindConsumer in unbindConsumers { unbindConsumer() }
        lock.lock()
        world.note("unbind")
        remove()
        world.note("remove returned")
        releaseAll()
        lock.unlock()
    }

    /// `devres_release_all`: last in, first out.
    private func releaseAll() {
        let entries = resources.load()
        resources.store([])
        for entry in entries.reversed() { entry.release() }
    }
}

/// `struct devres`: a resource with the function that releases it.
private struct ManagedResource: Sendable, CustomStringConvertible {
    let name: String
    let release: @Sendable () -> Void

    var description: String { name }
}
