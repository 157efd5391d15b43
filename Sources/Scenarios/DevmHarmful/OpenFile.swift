// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate

/// A node in `/dev`, in the forms that use Quiesce's own types: while it is registered, `open`
/// finds the driver's object there.
///
/// An open file is a `Reference` to that object, and closing the file drops it.
final class NodeTable<Object: ReferenceCounted>: Sendable {
    /// The driver's own reference, from `add` to `remove`.
    private let object: Mutex<Reference<Object>?>

    init(name: String) {
        object = Mutex(nil)
        object.label(name)
    }

    func add(_ reference: consuming Reference<Object>) {
        let added = TakeOnce(reference)
        object.withLock { $0 = added.take() }
    }

    /// Takes the object out, and drops the driver's reference.
    func remove() {
        let removed = object.withLock { $0.take() }
        removed?.drop()
    }

    /// The new file's reference; nil when nothing is registered.
    func open() -> Reference<Object>? { object.withLock { $0?.share() } }
}

/// Memory that has one owner, whose end frees it.
///
/// It cannot be copied, so that nobody keeps it beyond an access.
struct Owned<Value: ~Copyable & Sendable>: ~Copyable, Sendable {
    let memory: Storage<Value>

    init(_ memory: Storage<Value>) { self.memory = memory }

    deinit { unsafe memory.free() }
}

extension ResourceScope where Lifetime == BindingLifetime {
    /// What the bus does when a driver is unbound: users are kept out, the driver's `remove` runs,
    /// and what the driver has acquired is released.
    func unbind(remove: () throws -> Void = {}) {
        sure {
            try closeRegistrations()
            try remove()
            try close()
        }
    }
}

/// Runs what must not throw.
func sure(_ body: () throws -> Void) {
    do { try body() } catch { expect(false, "\(error)") }
}
