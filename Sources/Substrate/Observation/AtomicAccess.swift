// SPDX-License-Identifier: Apache-2.0

public import CSubstrate

/// What an atomic operation is, apart from its object and its operands: small enough to go along
/// in a register.
public struct AtomicAccess: Sendable, BitwiseCopyable {
    /// `.load`, `.store`, `.asymmetricStore`, `.readModifyWrite` or `.compareExchange`.
    public var kind: OperationKind
    public var order: MemoryOrder
    /// The order that counts when a compare-exchange fails.
    public var failureOrder: MemoryOrder
    /// How many bytes the atomic has.
    public var size: UInt8
    /// What a read-modify-write computes.
    public var update: Update

    /// How a read-modify-write makes the new value of the old one and its operand.
    public enum Update: UInt8, Sendable, BitwiseCopyable {
        case set, wrappingAdd, wrappingSubtract, and, or, xor
    }

    @inlinable
    public init(
        _ kind: OperationKind, _ order: MemoryOrder, failure: MemoryOrder = .relaxed,
        size: Int, update: Update = .set
    ) {
        self.kind = kind
        self.order = order
        failureOrder = failure
        self.size = UInt8(truncatingIfNeeded: size)
        self.update = update
    }
}

// An atomic of at most eight bytes, for an observer that performs the operation.
extension AtomicAccess {
    @inlinable
    @inline(__always)
    public func load(_ address: UInt) -> UInt64 { quiesce_word_load(address, size) }

    /// Stores the low bytes of `value`.
    @inlinable
    @inline(__always)
    public func store(_ value: UInt64, _ address: UInt) {
        quiesce_word_store(address, size, value)
    }

    /// What the operation leaves where it finds `found`, nil where it leaves it alone.
    @inlinable
    @inline(__always)
    public func result(_ found: UInt64, _ operand: UInt64, _ desired: UInt64) -> UInt64? {
        switch kind {
        case .load: return nil
        case .compareExchange: return found == operand ? desired : nil
        case .readModifyWrite: return updated(found, operand)
        default: return operand
        }
    }

    @inlinable
    @inline(__always)
    func updated(_ found: UInt64, _ operand: UInt64) -> UInt64 {
        let mask = UInt64.max &>> (64 &- UInt64(size) &* 8)
        switch update {
        case .set: return operand
        case .wrappingAdd: return (found &+ operand) & mask
        case .wrappingSubtract: return (found &- operand) & mask
        case .and: return found & operand
        case .or: return found | operand
        case .xor: return found ^ operand
        }
    }
}
