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
        if fitsWord {
            let bits = Bits(
                low: observer.atomic(access(.load, order), at: address, 0, 0, site))
            if observer.isRecording {
                let text = described(bits)
                observer.describe(old: text, new: text)
            }
            return decoded(bits)
        }
        switch observer.begin(access(.load, order), at: address, Bits(), site) {
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
        if fitsWord {
            let old = observer.atomic(access(kind, order), at: address, bits.low, 0, site)
            if observer.isRecording {
                observer.describe(
                    old: kind == .store ? described(Bits(low: old)) : "", new: described(bits))
            }
            return
        }
        switch observer.begin(access(kind, order), at: address, bits, site) {
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
        if fitsWord {
            return watchedWord(observer, .set, bits, order, site).oldValue
        }
        return watchedUpdate(observer, order, site) { _ in decoded(bits) }.oldValue
    }

    @inlinable
    @inline(never)
    borrowing func watchedUpdate(
        _ observer: WatchingObserver, _ order: MemoryOrder, _ site: Site,
        _ update: (consuming Value) -> Value
    ) -> (oldValue: Value, newValue: Value) {
        let directive = observer.begin(access(.readModifyWrite, order), at: address, Bits(), site)
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
        if fitsWord {
            let found = observer.atomic(
                access(.compareExchange, success, failure), at: address, wanted.low, new.low, site)
            let exchanged = found == wanted.low
            if observer.isRecording {
                observer.describe(
                    old: described(Bits(low: found)), new: described(exchanged ? new : wanted))
            }
            return (exchanged, decoded(Bits(low: found)))
        }
        let directive = observer.begin(
            access(.compareExchange, success, failure), at: address, wanted, site)
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

    /// A read-modify-write of a word whose update the observer knows.
    @inlinable
    borrowing func watchedWord(
        _ observer: WatchingObserver, _ update: AtomicAccess.Update, _ operand: Bits,
        _ order: MemoryOrder, _ site: Site
    ) -> (oldValue: Value, newValue: Value) {
        let access = access(.readModifyWrite, order, update: update)
        let found = observer.atomic(access, at: address, operand.low, 0, site)
        let (old, new) = (Bits(low: found), Bits(low: access.updated(found, operand.low)))
        if observer.isRecording { observer.describe(old: described(old), new: described(new)) }
        return (decoded(old), decoded(new))
    }

    /// Whether the observer can perform operations of it as those of a word.
    @inlinable
    var fitsWord: Bool { MemoryLayout<Value.AtomicRepresentation>.size <= 8 }

    @inlinable
    func access(
        _ kind: OperationKind, _ order: MemoryOrder, _ failure: MemoryOrder = .relaxed,
        update: AtomicAccess.Update = .set
    ) -> AtomicAccess {
        AtomicAccess(
            kind, order, failure: failure, size: MemoryLayout<Value.AtomicRepresentation>.size,
            update: update)
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

extension Atomic where Value: AtomicInteger {
    // The operand comes as it is, not in a closure: one whose captures lie on the stack costs the
    // fast path a store.
    @inlinable
    @inline(never)
    borrowing func watchedInteger(
        _ observer: WatchingObserver, _ update: AtomicAccess.Update, _ operand: Value,
        _ order: MemoryOrder, _ site: Site
    ) -> (oldValue: Value, newValue: Value) {
        watchedWord(observer, update, encoded(operand), order, site)
    }
}
