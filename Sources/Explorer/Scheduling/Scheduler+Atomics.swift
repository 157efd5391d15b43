// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

/// A store that its thread has made and others do not see yet.
struct BufferedStore {
    var address: UInt
    var object: Int32
    var size: Int
    var bits: Bits
    /// The event of the store.
    var event: Int32
    var site: Site
    /// What the store publishes once it is visible; empty where races are not tracked.
    var published: [UInt32]
}

// Atomic operations, and the store buffers of asymmetric stores.
extension Scheduler {
    func beginAtomic(_ operation: Operation) -> Directive {
        let thread = current
        switch mode {
        case .exploring, .finishing: break
        case .draining:
            drainStep(thread)
            return .perform
        case .afterwards:
            checkAfterwards(operation.object, operation.site)
            return .perform
        case .idle: return .perform
        }
        if let mutant, let effect = mutant.effect(on: operation) {
            return beginMutated(operation, effect)
        }
        return beginStep(thread, operation)
    }

    private func beginMutated(_ operation: Operation, _ effect: Mutation.Effect) -> Directive {
        var operation = operation
        switch effect {
        case .skipped: return operation.kind == .load ? beginStep(current, operation) : .done
        case .sees(let bits):
            return operation.kind == .load
                ? .forward(Bits(low: bits)) : beginStep(current, operation)
        case .relaxed:
            operation.order = .relaxed
            operation.failureOrder = .relaxed
        case .unconditional:
            guard operation.kind == .compareExchange else { break }
            _ = beginStep(current, operation)
            return .forward(Bits())
        case .buffered: if operation.kind == .store { operation.kind = .asymmetricStore }
        }
        return beginStep(current, operation)
    }

    private func beginStep(_ thread: Int32, _ operation: Operation) -> Directive {
        if joinOperation() { return beginWithin(operation) }
        if mode == .draining { return .perform }
        let index = Int(thread)
        let object = object(at: operation.object)
        let kind: StepKind
        switch operation.kind {
        case .load: kind = .load
        case .store:
            // A store behind a buffered one is buffered too; only a full one drains.
            if threads[index].isAsymmetric, operation.order != .sequentiallyConsistent {
                return buffer(thread, object, operation)
            }
            kind = .store
        case .asymmetricStore: return buffer(thread, object, operation)
        case .readModifyWrite: kind = .update
        default:
            kind = .compareExchange
            trackWords()
        }
        threads[index].announce(kind, object, operation)
        if kind == .load, threads[index].isAsymmetric {
            threads[index].other = knownBufferObject(thread, operation.object)
        }
        park(thread)
        pendingSite = operation.site
        if kind == .load, threads[index].isAsymmetric, mode != .draining {
            return loadBehindStores(thread, operation)
        }
        return .perform
    }

    func endAtomic(old: Bits, new: Bits, wrote: Bool) {
        guard mode == .exploring || mode == .finishing else { return }
        let thread = current
        if threads[Int(thread)].isInOperation { return endWithin(old, new, wrote: wrote) }
        let object = threads[Int(thread)].object
        let kind = threads[Int(thread)].kind
        if !repeats(thread, kind, object) {
            // The processor has performed it; what it touches is what the step would say of the
            // value found.
            var event = Event(threads[Int(thread)].step(of: thread))
            event.footprint = footprint(object, writes: wrote)
            event.footprint.add(threads[Int(thread)].other, writes: false)
            event.isSilent = old == new
            event.old = old
            if wrote { noteWord(object, old, new) }
            commit(event, site: pendingSite)
        }
        if attention.races { trackAtomic(thread, object, kind, wrote: wrote) }
    }

    /// What the thread's atomic operation acquires and publishes.
    func trackAtomic(_ thread: Int32, _ object: Int32, _ kind: StepKind, wrote: Bool) {
        let order = threads[Int(thread)].order
        switch kind {
        case .load: sync.load(thread, object, order)
        case .store: sync.store(thread, object, order)
        case .compareExchange where !wrote:
            sync.load(thread, object, threads[Int(thread)].failureOrder)
        default: sync.update(thread, object, order)
        }
    }

    // MARK: Store buffers

    /// A load of a thread that buffers stores: its own store to the address, if that is still on
    /// its way, comes first.
    private func loadBehindStores(_ thread: Int32, _ operation: Operation) -> Directive {
        guard let store = storeBuffers[Int(thread)].last(where: { $0.address == operation.object })
        else {
            return .perform
        }
        take(thread, operation.site)
        return .forward(store.bits)
    }

    /// What stands for the stores of `thread` to `address` that it buffered; -1 where it never did.
    /// A load of what the thread stored sees whether the store was flushed: the two steps conflict.
    private func knownBufferObject(_ thread: Int32, _ address: UInt) -> Int32 {
        bufferedAddresses[Int(thread)].contains(address) ? bufferObject(thread, address) : -1
    }

    private func bufferObject(_ thread: Int32, _ address: UInt) -> Int32 {
        // A key where nothing can be.
        objects.find(address ^ (UInt(thread) + 1) << 48, by: thread, isMade: true).object
    }

    private func buffer(_ thread: Int32, _ object: Int32, _ operation: Operation) -> Directive {
        threads[Int(thread)].announce(.bufferedStore, object, operation)
        // What stands for the buffer is numbered before anything can depend on it.
        let buffer = bufferThread(of: thread)
        threads[Int(thread)].isAsymmetric = true
        if !bufferedAddresses[Int(thread)].contains(operation.object) {
            bufferedAddresses[Int(thread)].append(operation.object)
        }
        _ = bufferObject(thread, operation.object)
        park(thread)
        if mode == .draining { return .perform }
        let position = Int32(truncatingIfNeeded: steps)
        take(thread, operation.site)
        storeBuffers[Int(thread)].append(
            BufferedStore(
                address: operation.object, object: object, size: Int(operation.other),
                bits: operation.operand,
                event: position, site: operation.site,
                published: attention.races ? sync.buffered(thread, operation.order) : []))
        threads[Int(thread)].buffered += 1
        threads[Int(buffer)].kind = .flush
        bufferedCount += 1
        return .done
    }

    /// The oldest store of the buffer becomes visible.
    func flush(_ buffer: Int32) {
        let owner = Int(threads[Int(buffer)].bufferLink)
        let store = storeBuffers[owner].removeFirst()
        threads[owner].buffered -= 1
        bufferedCount -= 1
        var old = Bits()
        if let target = unsafe UnsafeMutableRawPointer(bitPattern: store.address) {
            unsafe withUnsafeMutableBytes(of: &old) {
                unsafe $0.baseAddress!.copyMemory(from: target, byteCount: store.size)
            }
            unsafe withUnsafeBytes(of: store.bits) {
                unsafe target.copyMemory(from: $0.baseAddress!, byteCount: store.size)
            }
        }
        noteWord(store.object, old, store.bits)
        threads[Int(buffer)].object = store.object
        threads[Int(buffer)].other = knownBufferObject(Int32(owner), store.address)
        threads[Int(buffer)].enabler = store.event
        threads[owner].lastFlush = Int32(truncatingIfNeeded: steps)
        take(buffer, store.site, closing: store.event)
        if attention.races { sync.flush(store.object, store.published) }
    }
}
