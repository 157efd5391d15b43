// SPDX-License-Identifier: Apache-2.0

/// Identifies a work item. No two items of a process share an identity, whatever their addresses.
public struct WorkID: Hashable, Sendable, CustomStringConvertible {
    public let number: UInt64

    public var description: String { "\(number)" }
}
