// SPDX-License-Identifier: Apache-2.0

import Substrate

/// `struct percpu_ref` as used for active references: a count that is killed and then waited for.
struct ActiveCount: ~Copyable, Sendable {
    /// 1 while the count is live, and 2 for each user.
    private let users = WaitPoint(1)

    func label(_ name: @autoclosure () -> String) { users.label(name()) }

    /// `percpu_ref_tryget_live`
    func tryGetLive() -> Bool {
        var value = users.word.load(ordering: .relaxed)
        while value & 1 != 0 {
            let (exchanged, original) = users.word.compareExchange(
                expected: value, desired: value + 2, ordering: .acquiring)
            if exchanged { return true }
            value = original
        }
        return false
    }

    /// `percpu_ref_put`
    func put() {
        if users.word.wrappingSubtract(2, ordering: .releasing).newValue == 0 { users.wake() }
    }

    /// `percpu_ref_kill`: later calls of `tryGetLive` fail.
    func kill() { users.word.bitwiseAnd(~1, ordering: .acquiringAndReleasing) }

    /// Waits until the last user of a killed count is gone.
    func wait() {
        while true {
            let value = users.word.load(ordering: .acquiring)
            if value == 0 { return }
            users.wait(while: value)
        }
    }
}
