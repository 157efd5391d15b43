// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// Why a descriptor was not made or not waited for.
public enum DescriptorError: Error, Sendable, Equatable {
    /// The system refused, with this error number.
    case refused(Int32)
}

/// What came of moving one value into or out of a descriptor.
public enum IOResult: Sendable, Equatable {
    /// It was done with this value.
    case value(UInt64)
    /// It cannot be done now. Kernel: `EAGAIN`.
    case wouldBlock
    /// The system refused, with this error number.
    case failed(Int32)

    init(_ transfer: IOTransfer) {
        switch transfer {
        case .bytes(_, let value): self = .value(value)
        case .failed(quiesce_error_again): self = .wouldBlock
        case .failed(let number): self = .failed(number)
        }
    }
}

/// What a system call that moves bytes answered.
public enum IOTransfer: Sendable, Equatable {
    /// It moved this many bytes, and this value in them.
    case bytes(Int, value: UInt64)
    /// It failed, with this error number.
    case failed(Int32)
}

/// What can be done with a descriptor without waiting. Kernel counterpart: what `poll(2)` says.
public struct DescriptorReadiness: OptionSet, Sendable, Hashable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// There is something to read.
    public static let readable = DescriptorReadiness(rawValue: quiesce_readable)
    /// Something can be written.
    public static let writable = DescriptorReadiness(rawValue: quiesce_writable)
    /// It is in error, or its other end is gone. Whoever waits for anything is told.
    public static let error = DescriptorReadiness(rawValue: quiesce_broken)
}
