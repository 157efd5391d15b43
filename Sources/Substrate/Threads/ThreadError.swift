// SPDX-License-Identifier: Apache-2.0

/// Why a thread did not start.
public enum ThreadError: Error, Equatable {
    /// The system refused, with this error number.
    case refused(Int32)
}
