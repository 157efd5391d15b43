// SPDX-License-Identifier: Apache-2.0

/// Why a descriptor was not made or not waited for.
public enum DescriptorError: Error, Sendable, Equatable {
    /// The system refused, with this error number.
    case refused(Int32)
}
