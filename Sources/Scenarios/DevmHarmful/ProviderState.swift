// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What the driver of a clock, a GPIO chip or a regulator has for its own operations, and frees
/// when it is unbound.
struct ProviderState: ~Copyable, Sendable {
    private let register = Unsynchronized(0)

    static func allocate(_ name: String) -> Storage<ProviderState> {
        let state = Storage.allocate(ProviderState(), name: name)
        state.pointee.register.label("register")
        return state
    }

    /// What each operation of the driver does.
    func readRegister() { _ = register.load() }
}
