// SPDX-License-Identifier: Apache-2.0

public import CSubstrate

/// Marks that the running thread is inside a callback of an event, where some operations are
/// refused.
///
/// Kernel counterpart: `current->in_eventfd`.
@usableFromInline
package enum CallbackScope {
    /// Whether the running thread is inside a callback.
    @inlinable package static var isActive: Bool {
        unsafe quiesce_current_block().pointee.callbacks != 0
    }

    /// Runs `body` as a callback.
    package static func run(_ body: () -> Void) {
        let block = unsafe quiesce_current_block()
        unsafe block.pointee.callbacks += 1
        body()
        unsafe block.pointee.callbacks -= 1
    }
}
