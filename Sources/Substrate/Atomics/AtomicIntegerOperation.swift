// SPDX-License-Identifier: Apache-2.0

/// A read-modify-write that the processor has an instruction for.
@frozen
public enum AtomicIntegerOperation: Sendable {
    case add, subtract, and, or, xor
}
