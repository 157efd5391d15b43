// SPDX-License-Identifier: Apache-2.0

public import Synchronization

// What an operation does when somebody watches: out of line, so that the fast path stays one
// branch.
extension Atomic {
    @inlinable
    @inline(never)
    borrowing func watchedLoad(_ observer: WatchingObserver, _ order: MemoryOrder, _ site: Site)
        -> Value
    {
        switch observer.begin(Operation(.load, address, order, site: site)) {
        case .forward(let bits):
            return decoded(bits)
        case .perform, .done:
            let value = Value.AtomicRepresentation.load(raw, ordering: .sequentiallyConsistent)
            let bits = encoded(Value.AtomicRepresentation.load(raw, ordering: .relaxed))
            observer.end(old: bits, new: bits, wrote: false)
            if observer.isRecording {
                let text = described(bits)
                observer.describe(old: text, new: text)
            }
            return value
        }
    }

    @inlinable
    @inline(never)
    borrowing func watchedStore(
        _ observer: WatchingObserver, _ kind: OperationKind, _ desired: consuming Value,
        _ order: MemoryOrder,
        _ site: Site
    ) {
        let bits = encoded(desired)
        var operation = Operation(kind, address, order, site: site)
        operation.operand = bits
        // The store buffer's entry needs the width.
        operation.other = UInt(MemoryLayout<Value.AtomicRepresentation>.size)
        switch observer.begin(operation) {
        case .perform:
            let old = Value.AtomicRepresentation.exchange(
                decoded(bits), in: raw, ordering: .sequentiallyConsistent)
            let oldBits = encoded(old)
            observer.end(old: oldBits, new: bits, wrote: true)
            if observer.isRecording {
                observer.describe(old: described(oldBits), new: described(bits))
            }
        case .forward, .done:
            if observer.isRecording { observer.describe(old: "", new: described(bits)) }
        }
    }

    @inlinable
    @inline(never)
    borrowing func watchedExchange(
        _ observer: WatchingObserver, _ desired: consuming Value, _ order: MemoryOrder, _ site: Site
    ) -> Value {
        let bits = encoded(desired)
        return watchedUpdate(observer, order, site) { _ in decoded(bits) }.oldValue
    }

    @inlinable
    @inline(never)
    borrowing func watchedUpdate(
        _ observer: WatchingObserver, _ order: MemoryOrder, _ site: Site,
        _ update: (consuming Value) -> Value
    ) -> (oldValue: Value, newValue: Value) {
        let directive = observer.begin(Operation(.readModifyWrite, address, order, site: site))
        let old = encoded(Value.AtomicRepresentation.load(raw, ordering: .sequentiallyConsistent))
        let new = encoded(update(decoded(old)))
        if case .done = directive { return (decoded(old), decoded(new)) }
        Value.AtomicRepresentation.store(decoded(new), to: raw, ordering: .sequentiallyConsistent)
        observer.end(old: old, new: new, wrote: true)
        if observer.isRecording { observer.describe(old: described(old), new: described(new)) }
        return (decoded(old), decoded(new))
    }

    @inlinable
    @inline(never)
    borrowing func watchedCompareExchange(
        _ observer: WatchingObserver, _ expected: consuming Value, _ desired: consuming Value,
        _ success: MemoryOrder,
        _ failure: MemoryOrder, _ site: Site
    ) -> (exchanged: Bool, original: Value) {
        let wanted = encoded(expected)
        let new = encoded(desired)
        var operation = Operation(.compareExchange, address, success, failure: failure, site: site)
        operation.operand = wanted
        let directive = observer.begin(operation)
        if case .done = directive { return (true, decoded(wanted)) }
        let old = encoded(Value.AtomicRepresentation.load(raw, ordering: .sequentiallyConsistent))
        var exchanged = old == wanted
        if case .forward = directive { exchanged = true }
        if exchanged {
            Value.AtomicRepresentation.store(
                decoded(new), to: raw, ordering: .sequentiallyConsistent)
        }
        observer.end(old: old, new: exchanged ? new : old, wrote: exchanged)
        if observer.isRecording {
            observer.describe(old: described(old), new: described(exchanged ? new : wanted))
        }
        return (exchanged, decoded(old))
    }

    @inlinable
    func encoded(_ value: consuming Value) -> Bits {
        Bits(of: Value.encodeAtomicRepresentation(value))
    }

    @inlinable
    func decoded(_ bits: Bits) -> Value {
        Value.decodeAtomicRepresentation(bits.value(as: Value.AtomicRepresentation.self))
    }

    @inlinable
    func described(_ bits: Bits) -> String {
        Substrate.described(decoded(bits))
    }
}

/// What a watched integer operation computes.
@frozen
@usableFromInline
enum IntegerUpdate {
    case wrappingAdd, wrappingSubtract, add, subtract, and, or, xor, min, max
}

extension Atomic where Value: AtomicInteger {
    // The operand comes as it is, not in a closure: one whose captures lie on the stack costs the
    // fast path a store.
    @inlinable
    @inline(never)
    borrowing func watchedInteger(
        _ observer: WatchingObserver, _ update: IntegerUpdate, _ operand: Value,
        _ order: MemoryOrder, _ site: Site
    ) -> (oldValue: Value, newValue: Value) {
        watchedUpdate(observer, order, site) { value in
            switch update {
            case .wrappingAdd: value &+ operand
            case .wrappingSubtract: value &- operand
            case .add: value + operand
            case .subtract: value - operand
            case .and: value & operand
            case .or: value | operand
            case .xor: value ^ operand
            case .min: Swift.min(value, operand)
            case .max: Swift.max(value, operand)
            }
        }
    }
}
