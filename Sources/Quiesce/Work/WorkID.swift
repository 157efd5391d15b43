// SPDX-License-Identifier: Apache-2.0

/// Who a work item is. No two items of a process have one, whatever their addresses.
public struct WorkID: Hashable, Sendable, CustomStringConvertible {
    public let number: UInt64

    public var description: String { "\(number)" }
}
