// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// Atomic operations.
extension Scheduler {
    /// An atomic operation of a word, as a step that has no consequences beyond its event.
    @inline(__always)
    func performAtomic(
        _ access: AtomicAccess, _ address: UInt, _ operand: UInt64, _ desired: UInt64
    ) -> UInt64 {
        let thread = current
        let kind = StepKind(atomic: access.kind)
        let object = objects.find(address, by: thread).object
        if !isNext(thread) {
            if kind == .compareExchange { trackWords() }
            threads[thread].announce(kind, object, access, Bits(low: operand))
            park(thread)
        }
        let found = access.load(address)
        let result = access.result(found, operand, desired)
        if let result { access.store(result, address) }
        if isPlain {
            finish(
                thread, kind, object, Bits(low: found), Bits(low: result ?? found),
                wrote: result != nil, access.order, access.failureOrder)
        } else {
            endAtomic(old: Bits(low: found), new: Bits(low: result ?? found), wrote: result != nil)
        }
        return found
    }

    /// Whether the running thread's atomic operations of this kind need no more than
    /// `performAtomic` does.
    @inline(__always)
    func isPlainAtomic(_ kind: OperationKind) -> Bool {
        isPlain && threads[current].isPlain && kind != .asymmetricStore
    }

    /// An atomic operation is about to happen: the general case.
    func beginAtomic(
        _ access: AtomicAccess, _ address: UInt, _ operand: Bits, _ site: Site
    ) -> Directive {
        switch mode {
        case .exploring, .finishing: break
        case .draining:
            drainStep(current)
            return .perform
        case .afterwards:
            checkAfterwards(address, site)
            return .perform
        case .idle: return .perform
        }
        if let mutant, let effect = mutant.effect(on: access.kind, site) {
            return beginMutated(access, address, operand, site, effect)
        }
        return beginStep(access, address, operand, site)
    }

    private func beginMutated(
        _ access: AtomicAccess, _ address: UInt, _ operand: Bits, _ site: Site,
        _ effect: Mutation.Effect
    ) -> Directive {
        var access = access
        switch effect {
        case .skipped:
            return access.kind == .load ? beginStep(access, address, operand, site) : .done
        case .sees(let bits):
            return access.kind == .load
                ? .forward(Bits(low: bits)) : beginStep(access, address, operand, site)
        case .relaxed:
            access.order = .relaxed
            access.failureOrder = .relaxed
        case .unconditional:
            guard access.kind == .compareExchange else { break }
            _ = beginStep(access, address, operand, site)
            return .forward(Bits())
        case .buffered: if access.kind == .store { access.kind = .asymmetricStore }
        }
        return beginStep(access, address, operand, site)
    }

    private func beginStep(
        _ access: AtomicAccess, _ address: UInt, _ operand: Bits, _ site: Site
    ) -> Directive {
        let thread = current
        if joinOperation() { return beginWithin(access, address, operand) }
        if mode == .draining { return .perform }
        let index = Int(thread)
        let object = object(at: address)
        let kind: StepKind
        switch access.kind {
        case .store:
            // A store behind a buffered one is buffered too; only a full one drains.
            if threads[index].isAsymmetric, access.order != .sequentiallyConsistent {
                return buffer(object, address, access, operand, site)
            }
            kind = .store
        case .asymmetricStore: return buffer(object, address, access, operand, site)
        default:
            kind = StepKind(atomic: access.kind)
            if kind == .compareExchange { trackWords() }
        }
        threads[index].announce(kind, object, access, operand)
        if kind == .load, threads[index].isAsymmetric {
            threads[index].other = knownBufferObject(thread, address)
        }
        park(thread)
        pendingSite = site
        if kind == .load, threads[index].isAsymmetric, mode != .draining {
            return loadBehindStores(thread, address, site)
        }
        return .perform
    }

    func endAtomic(old: Bits, new: Bits, wrote: Bool) {
        guard mode == .exploring || mode == .finishing else { return }
        let thread = current
        if threads[thread].isInOperation { return endWithin(old, new, wrote: wrote) }
        finish(
            thread, threads[thread].kind, threads[thread].object, old, new, wrote: wrote,
            threads[thread].order, threads[thread].failureOrder)
    }

    /// The processor has performed the step that `thread` was picked for.
    @inline(__always)
    private func finish(
        _ thread: Int32, _ kind: StepKind, _ object: Int32, _ old: Bits, _ new: Bits, wrote: Bool,
        _ order: MemoryOrder, _ failureOrder: MemoryOrder
    ) {
        if !repeats(thread, kind, object) {
            if kind != .compareExchange, isAccess(thread, object) {
                commitAccess(thread, kind, object, writes: wrote, old == new ? .silent : [])
                if wrote, attention.words {
                    history.versions.add(
                        StateChange(object: object, state: new, before: old), by: steps - 1)
                }
            } else {
                commitAtomic(old: old, new: new, wrote: wrote)
            }
        }
        if attention.races {
            trackAtomic(thread, object, kind, order, failureOrder, wrote: wrote)
        }
    }

    /// The processor has performed the step: what it touches is what the step would say of the
    /// value found.
    @inline(never)
    private func commitAtomic(old: Bits, new: Bits, wrote: Bool) {
        let thread = current
        let object = threads[thread].object
        var event = Event(threads[thread].step(of: thread))
        event.footprint = footprint(object, writes: wrote)
        event.footprint.add(threads[thread].other, writes: false)
        event.traits.set(.silent, old == new)
        event.old = old
        if wrote { noteWord(object, old, new) }
        commit(event, site: pendingSite)
    }

    /// What the thread's atomic operation acquires and publishes.
    @inline(never)
    func trackAtomic(
        _ thread: Int32, _ object: Int32, _ kind: StepKind, _ order: MemoryOrder,
        _ failureOrder: MemoryOrder, wrote: Bool
    ) {
        switch kind {
        case .load: sync.load(thread, object, order)
        case .store: sync.store(thread, object, order)
        case .compareExchange where !wrote:
            sync.load(thread, object, failureOrder)
        default: sync.update(thread, object, order)
        }
    }

    // MARK: Store buffers

    /// A load of a thread that buffers stores: its own store to the address, if that is still on
    /// its way, comes first.
    private func loadBehindStores(_ thread: Int32, _ address: UInt, _ site: Site) -> Directive {
        guard let store = stores.latest(to: address, by: thread) else { return .perform }
        take(thread, site)
        return .forward(store.bits)
    }

    /// What stands for the stores of `thread` to `address` that it buffered; -1 where it never did.
    /// A load of what the thread stored sees whether the store was flushed: the two steps conflict.
    private func knownBufferObject(_ thread: Int32, _ address: UInt) -> Int32 {
        stores.hasUsed(address, thread) ? bufferObject(thread, address) : -1
    }

    private func bufferObject(_ thread: Int32, _ address: UInt) -> Int32 {
        // A key where nothing can be.
        objects.find(address ^ (UInt(thread) + 1) << 48, by: thread, isMade: true).object
    }

    private func buffer(
        _ object: Int32, _ address: UInt, _ access: AtomicAccess, _ operand: Bits, _ site: Site
    ) -> Directive {
        let thread = current
        threads[thread].announce(.bufferedStore, object, access, operand)
        // What stands for the buffer is numbered before anything can depend on it.
        let buffer = threads.buffer(of: thread)
        threads[thread].isAsymmetric = true
        stores.prepare(thread, address)
        _ = bufferObject(thread, address)
        park(thread)
        if mode == .draining { return .perform }
        let position = Int32(truncatingIfNeeded: steps)
        take(thread, site)
        stores.add(
            BufferedStore(
                address: address, object: object, size: Int(access.size), bits: operand,
                event: position, site: site,
                published: attention.races ? sync.buffered(thread, access.order) : []),
            by: thread)
        threads[thread].buffered += 1
        threads[buffer].kind = .flush
        return .done
    }

    /// The oldest store of the buffer becomes visible.
    func flush(_ buffer: Int32) {
        let owner = threads[buffer].bufferLink
        let store = stores.takeOldest(of: owner)
        threads[owner].buffered -= 1
        let old = store.perform()
        noteWord(store.object, old, store.bits)
        threads[buffer].object = store.object
        threads[buffer].other = knownBufferObject(owner, store.address)
        threads[buffer].enabler = store.event
        threads[owner].lastFlush = Int32(truncatingIfNeeded: steps)
        take(buffer, store.site, closing: store.event)
        if attention.races { sync.flush(store.object, store.published) }
    }
}
