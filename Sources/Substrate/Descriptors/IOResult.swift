// SPDX-License-Identifier: Apache-2.0

import CSubstrate

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
