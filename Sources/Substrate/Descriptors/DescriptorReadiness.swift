// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// What can be done with a descriptor without waiting. Kernel counterpart: what `poll(2)` says.
public struct DescriptorReadiness: OptionSet, Sendable, Hashable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// There is something to read.
    public static let readable = DescriptorReadiness(rawValue: quiesce_readable)
    /// Something can be written.
    public static let writable = DescriptorReadiness(rawValue: quiesce_writable)
    /// It is in error, or its other end is gone. Every waiter is told, whatever it waits for.
    public static let error = DescriptorReadiness(rawValue: quiesce_broken)
}
