// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// A test's function, for as long as it may be used.
///
/// A task that waits for ever keeps the function in which it waits. It will never run again; so
/// what it keeps can be taken from it, and must be before the function is given back: the compiler
/// has it checked that nobody keeps it longer.
enum HeldFunction {
    /// A function as it is stored: the code and what it captured.
    private struct Stored {
        var function: @Sendable @concurrent () async throws -> Void
    }

    /// Takes `function` from those tasks that keep it and never end.
    static func takeBack(_ function: @escaping @Sendable @concurrent () async throws -> Void) {
        if let context = unsafe context(of: function) { unsafe quiesce_release_to_last(context) }
    }

    private static func context(
        of function: @escaping @Sendable @concurrent () async throws -> Void
    ) -> UnsafeMutableRawPointer? {
        let (_, address) = unsafe unsafeBitCast(Stored(function: function), to: (UInt, UInt).self)
        return unsafe UnsafeMutableRawPointer(bitPattern: address)
    }
}
