// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// Counts how often it was destroyed.
private struct Resource: ~Copyable, Sendable {
    final class Drops: Sendable {
        private let number = Mutex(0)

        func add() { number.withLock { $0 += 1 } }
        var count: Int { number.withLock { $0 } }
    }

    let drops: Drops
    let sum: Int

    init(_ drops: Drops, _ first: Int = 10, _ second: Int = 20) {
        self.drops = drops
        sum = first + second
    }

    deinit { drops.add() }
}

private func revoke<Value: ~Copyable>(_ value: Revocable<Value>) -> Bool {
    do { return try value.close() } catch {
        expect(false, "\(error)")
        return false
    }
}

/// The kernel's C implementation. A handle is an ordinary reference to the `Revocable`.
///
/// Not here:
/// - `init_null_provider`, `init_after_revoke`, `init_while_provider_refcount_zero`: making a
///   handle registers nothing and so cannot fail; a handle to a revoked value is one that reaches
///   nothing, which `revocation` tests.
/// - `scoped_body_runs_even_when_revoked`: here the body does not run, so that no body has to ask
///   for null.
@Suite("revocable.kunit") struct RevocableKUnitRules {
    @Test func basic() throws {
        let value = Revocable("res")
        #expect(value.withValue { $0 } == "res")
        #expect(try value.close())
    }

    @Test func revocation() throws {
        let value = Revocable("res")
        #expect(value.withValue { $0 } == "res")
        try value.close()
        #expect(value.withValue { $0 } == nil)
    }

    @Test func try_access_macro() throws {
        let value = Revocable("res")
        let handle = value
        #expect(handle.withValue { $0 } == "res")
        try value.close()
        #expect(handle.withValue { $0 } == nil && handle.isClosing)
    }

    @Test func revoke_waits_for_access() throws {
        try verify("revoke waits") { world in
            let value = Revocable(0)
            let journal = Journal()
            _ = value.withValue { _ in
                world.thread("T2") {
                    _ = revoke(value)
                    journal.note("revoked")
                }
                journal.note("withdrawn")
            }
            world.afterwards { journal.expectOrder("withdrawn", "revoked") }
        }
    }

    @Test func double_revoke() throws {
        let value = Revocable(0)
        #expect(try value.close())
        #expect(try value.close() == false)
    }

    @Test func deinit_after_revoke_frees_provider() throws {
        var handle: Revocable<Int>? = Revocable(0)
        weak let provider = handle
        try handle?.close()
        #expect(provider != nil)
        handle = nil
        #expect(provider == nil)
    }

    /// The flaw behind the revert: what an access needs to end it must not lie in the handle.
    @Test func SHARED_HANDLE_TWO_THREADS() throws {
        try verify("shared handle") { world in
            let drops = Resource.Drops()
            let handle = Revocable(Resource(drops))
            _ = handle.withValue { resource in
                // The same handle, twice at once, and one of them ends.
                handle.withValue { _ in }
                world.thread("T1") { _ = handle.withValue { _ in expect(drops.count == 0) } }
                world.thread("revoker") { _ = revoke(handle) }
                expect(resource.drops.count == 0, "it was revoked under an access")
            }
        }
    }

    /// The flaw beside it: a handle is a reference, so what it leads to is there.
    @Test func HANDLE_CREATION_RACES_REVOKE() throws {
        try verify("handle against revoke") { world in
            let drops = Resource.Drops()
            let provider = Mutex<Revocable<Resource>?>.Shelf(Revocable(Resource(drops)))
            world.thread("T1") {
                guard let handle = provider.value else { return }
                _ = handle.withValue { _ in expect(drops.count == 0) }
            }
            world.thread("T2") {
                if let value = provider.take() { _ = revoke(value) }
            }
        }
    }
}

extension Mutex where Value == Revocable<Resource>? {
    /// Where a provider is published and taken away.
    fileprivate final class Shelf: Sendable {
        private let content: Mutex<Revocable<Resource>?>

        init(_ value: Revocable<Resource>) { content = Mutex(value) }

        var value: Revocable<Resource>? { content.withLock { $0 } }
        func take() -> Revocable<Resource>? { content.withLock { $0.take() } }
    }
}

/// The kernel's Rust implementation.
@Suite("rust.revocable_devres") struct RustRevocableRules {
    @Test func try_access_after_revoke() throws {
        let value = Revocable(Resource(Resource.Drops(), 10, 20))
        #expect(value.withValue { $0.sum } == 30)
        #expect(try value.close())
        #expect(value.withValue { $0.sum } == nil)
    }

    @Test func revoke_twice() throws {
        let value = Revocable(Resource(Resource.Drops()))
        #expect(try value.close())
        #expect(try !value.close())
    }

    @Test func revoke_drops_value_once() throws {
        let drops = Resource.Drops()
        do {
            let value = Revocable(Resource(drops))
            try value.close()
            #expect(drops.count == 1)
        }
        #expect(drops.count == 1)
    }

    @Test func drop_without_revoke_drops_value() {
        let drops = Resource.Drops()
        do { _ = Revocable(Resource(drops)) }
        #expect(drops.count == 1)
    }

    @Test func devres_unbind_revokes() throws {
        let (drops, binding) = (Resource.Drops(), BindingScope(name: "binding"))
        let value = try binding.acquire("data") { Resource(drops) }
        #expect(value.withValue { $0.sum } == 30)
        try binding.close()
        #expect(drops.count == 1 && value.withValue { $0.sum } == nil)
    }

    @Test func devres_drop_first_removes_action() throws {
        let (drops, binding) = (Resource.Drops(), BindingScope(name: "binding"))
        let value = try binding.acquire("data") { Resource(drops) }
        #expect(try binding.release(value) && drops.count == 1 && binding.isEmpty)
        try binding.close()
        #expect(drops.count == 1)
    }

    @Test func guard_blocks_revoke() throws {
        try verify("guard blocks") { world in
            let drops = Resource.Drops()
            let value = Revocable(Resource(drops))
            _ = value.withValue { _ in
                world.thread("T2") {
                    _ = revoke(value)
                    expect(drops.count == 1)
                }
                expect(drops.count == 0, "it was dropped under a guard")
            }
        }
    }

    /// The thread that comes second waits for the destruction.
    @Test func devres_drop_races_unbind() throws {
        try verify("drop against unbind") { world in
            let (drops, binding) = (Resource.Drops(), BindingScope(name: "binding"))
            guard let value = try? binding.acquire("data", { Resource(drops) }) else { return }
            world.thread("drop") {
                do { try binding.release(value) } catch { expect(false, "\(error)") }
                expect(drops.count == 1)
            }
            world.thread("unbind") {
                do { try binding.close() } catch { expect(false, "\(error)") }
                expect(drops.count == 1)
            }
        }
    }

    /// Inside the device's own gate there is no second check; with that of another device it traps.
    @Test func devres_access_with_bound_device() async {
        let gate = Gate(name: "device")
        let value = Revocable(7, gate: gate)
        #expect(gate.withEntry { entry in value.withValue(in: entry) { $0 } } == 7)
        await #expect(processExitsWith: .failure) {
            let value = Revocable(7, gate: Gate(name: "device"))
            _ = Gate(name: "other device").withEntry { entry in value.withValue(in: entry) { $0 } }
        }
    }

    /// A guard is a section of a gate, in which one may sleep: here, until another thread wakes it.
    @Test func sleep_in_guard() throws {
        try verify("sleep in guard") { world in
            let value = Revocable(0)
            let event = EventCounter()
            world.thread("sleeper") { _ = value.withValue { _ in _ = try? event.take() } }
            world.thread("waker") { try? event.signal() }
            world.thread("revoker") { _ = revoke(value) }
        }
    }
}
