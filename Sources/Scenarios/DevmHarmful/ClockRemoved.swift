// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import QuiesceStories
import Substrate

/// "Removal of core resources (clocks, regulators, GPIOs, ...) with active users": a clock, whose
/// consumer has no way to hear of the removal.
///
/// The clock itself is counted, and stays until the consumer's last put. Its operations are the
/// provider's, and so is what they use.
enum ClockRemoved {
    private static func program(_ world: ExploredWorld, _ removal: ClockFramework.Removal) {
        let provider = KernelDevice("provider", in: world)
        let framework = ClockFramework(in: world)
        let clock = provider.probe {
            let hardware = ProviderState.allocate("clk_hw")
            provider.manage(hardware)
            return framework.register(
                ClockOperations(
                    name: "provider's", prepare: { hardware.pointee.readRegister() }))
        }
        // clk_get
        clock.pointee.kref.wrappingAdd(1, ordering: .relaxed)
        world.thread("consumer") {
            try? framework.prepare(clock)
            framework.put(clock)
        }
        world.thread("hotplug") {
            provider.unbind { framework.unregister(clock, removal) }
        }
    }

    static let broken = Story(
        "clock-removed", text: DevmHarmful.text, .broken,
        "clock removed, consumer prepares it",
        expecting: .useAfterFree
    ) { program($0, .keepsOperations) }

    static let asTheKernelDoes = Story(
        "clock-removed-kernel", text: DevmHarmful.text, .repaired,
        "clock removed, its operations exchanged"
    ) { program($0, .exchangesOperations) }

    /// What consumers share of a clock.
    private final class Clock: ReferenceCounted {
        let referenceCount = ReferenceCount()
        private let hardware: Revocable<Owned<ProviderState>>

        init(_ hardware: Revocable<Owned<ProviderState>>) { self.hardware = hardware }

        func prepare() throws(KernelError) {
            let done: Void? = hardware.withValue { $0.memory.pointee.readRegister() }
            if done == nil { throw .noSuchDevice }
        }

        func release() {}
    }

    /// The clock stays as long as a consumer has it. What is the provider's is taken from it.
    static let repaired = Story(
        "clock-removed-repaired", text: DevmHarmful.text, .repaired,
        "Revocable: removed clock has no driver"
    ) { world in
        let provider = BindingScope(name: "provider")
        let hardware = try provider.acquire("clk_hw") { Owned(ProviderState.allocate("clk_hw")) }
        let clocks = NodeTable<Clock>(name: "clk")
        try provider.register("clk") {
            clocks.add(Reference(Clock(hardware)))
        } unregister: {
            clocks.remove()
        }
        world.thread("consumer") {
            guard let clock = clocks.open() else { return }
            let error = clock.withObject { clock in
                KernelError.of { () throws(KernelError) in try clock.prepare() }
            }
            if let error { world.note("prepare: \(error)") }
            clock.drop()
        }
        world.thread("hotplug") { provider.unbind() }
    }
}

/// `struct clk_core`
private struct ClockCore: ~Copyable, Sendable {
    /// The provider holds one reference, each consumer another.
    let kref = Atomic(1)
    let operations: Unsynchronized<ClockOperations>

    init(_ operations: ClockOperations) {
        self.operations = Unsynchronized(operations)
    }
}

/// `struct clk_ops`
private struct ClockOperations: Sendable, CustomStringConvertible {
    let name: String
    let prepare: @Sendable () throws(KernelError) -> Void

    /// `clk_nodrv_ops`
    static let noDriver = ClockOperations(
        name: "clk_nodrv_ops", prepare: { () throws(KernelError) in throw .noSuchDevice })

    var description: String { name }
}

/// `drivers/clk/clk.c`
private final class ClockFramework: Sendable {
    /// What `clk_unregister` does with the clock's operations.
    enum Removal {
        case keepsOperations, exchangesOperations
    }

    private let world: ExploredWorld
    /// `prepare_lock`
    private let lock = Mutex(())

    init(in world: ExploredWorld) {
        self.world = world
        lock.label("prepare_lock")
    }

    /// `clk_register`
    func register(_ operations: ClockOperations) -> Storage<ClockCore> {
        world.note("clk_register")
        let clock = Storage.allocate(ClockCore(operations), name: "clk")
        clock.pointee.kref.label("kref")
        clock.pointee.operations.label("ops")
        return clock
    }

    /// `clk_prepare`. `clk_enable` does the same under a lock of its own.
    func prepare(_ clock: Storage<ClockCore>) throws(KernelError) {
        lock.lock()
        defer { lock.unlock() }
        world.note("clk_prepare")
        try clock.pointee.operations.load().prepare()
    }

    /// `clk_unregister`
    func unregister(_ clock: Storage<ClockCore>, _ removal: Removal) {
        lock.lock()
        world.note("clk_unregister")
        if removal == .exchangesOperations { clock.pointee.operations.store(.noDriver) }
        putLocked(clock)
        lock.unlock()
    }

    /// `clk_put`
    func put(_ clock: Storage<ClockCore>) {
        lock.lock()
        putLocked(clock)
        lock.unlock()
    }

    private func putLocked(_ clock: Storage<ClockCore>) {
        if clock.pointee.kref.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
            unsafe clock.free()
        }
    }
}
