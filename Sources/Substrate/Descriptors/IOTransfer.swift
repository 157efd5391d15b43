// SPDX-License-Identifier: Apache-2.0

/// What a system call that moves bytes answered.
public enum IOTransfer: Sendable, Equatable {
    /// It moved this many bytes, and this value in them.
    case bytes(Int, value: UInt64)
    /// It failed, with this error number.
    case failed(Int32)
}
