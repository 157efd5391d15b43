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
        let index = Int(thread)
        let object = object(at: operation.object)
        threads[index].object = object
        threads[index].other = -1
        threads[index].order = operation.order
        switch operation.kind {
        case .load:
            if bufferedCount > 0, let bits = forwarded(thread, operation.object) { return .forward(bits) }
            threads[index].kind = .load
        case .store:
            if threads[index].buffered > 0 { return buffer(thread, operation) }
            threads[index].kind = .store
        case .asymmetricStore:
            return buffer(thread, operation)
        case .readModifyWrite:
            threads[index].kind = .update
        default:
            threads[index].kind = .compareExchange
            threads[index].failureOrder = operation.failureOrder
            threads[index].expected = operation.operand
        }
        park(thread)
        pendingSite = operation.site
        return .perform
    }

    func endAtomic(old: Bits, new: Bits, wrote: Bool) {
        guard mode == .exploring || mode == .finishing else { return }
        let thread = current
        let object = threads[Int(thread)].object
        let kind = threads[Int(thread)].kind
        if !repeats(thread, kind, object) {
            var event = Event(thread: thread, kind: kind)
            event.footprint = footprint(object, writes: wrote)
            event.old = old
            if kind == .compareExchange {
                event.isConditional = true
                event.comparesBits = true
                event.expected = threads[Int(thread)].expected
            }
            commit(event, site: pendingSite)
        }
        if tracksRaces {
            let order = threads[Int(thread)].order
            switch kind {
            case .load: sync.load(thread, object, order)
            case .store: sync.store(thread, object, order)
            case .compareExchange where !wrote: sync.load(thread, object, threads[Int(thread)].failureOrder)
            default: sync.update(thread, object, order)
            }
        }
    }

    // MARK: Store buffers

    private func forwarded(_ thread: Int32, _ address: UInt) -> Bits? {
        storeBuffers[Int(thread)].last { $0.address == address }?.bits
    }

    private func buffer(_ thread: Int32, _ operation: Operation) -> Directive {
        let object = threads[Int(thread)].object
        threads[Int(thread)].kind = .bufferedStore
        // The buffer's own thread is numbered before anything can depend on it.
        let buffer = bufferThread(of: thread)
        park(thread)
        if mode == .draining { return .perform }
        var event = Event(thread: thread, kind: .bufferedStore)
        event.footprint.add(ObjectTable.barrier, writes: false)
        if objects[object].storage >= 0 {
            event.footprint.add(storages[Int(objects[object].storage)].lifetime, writes: false)
        }
        let position = commit(event, site: operation.site)
        storeBuffers[Int(thread)].append(
            BufferedStore(
                address: operation.object, object: object, size: Int(operation.other), bits: operation.operand,
                event: position, site: operation.site))
        threads[Int(thread)].buffered += 1
        threads[Int(buffer)].kind = .flush
        threads[Int(buffer)].last = -1
        threads[Int(buffer)].steps = 0
        bufferedCount += 1
        if tracksRaces { sync.store(thread, object, threads[Int(thread)].order) }
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
            unsafe withUnsafeMutableBytes(of: &old) { unsafe $0.baseAddress!.copyMemory(from: target, byteCount: store.size) }
            unsafe withUnsafeBytes(of: store.bits) { unsafe target.copyMemory(from: $0.baseAddress!, byteCount: store.size) }
        }
        var event = Event(thread: buffer, kind: .flush)
        event.footprint = footprint(store.object, writes: true)
        event.footprint.add(ObjectTable.barrier, writes: false)
        event.old = old
        event.opener = store.event
        threads[Int(buffer)].object = store.object
        threads[Int(buffer)].enabler = store.event
        commit(event, site: store.site)
    }

    /// Makes everything visible at once: nobody is left to see the difference.
    func flushAll() {
        for thread in 0..<storeBuffers.count {
            for store in storeBuffers[thread] {
                guard let target = unsafe UnsafeMutableRawPointer(bitPattern: store.address) else { continue }
                unsafe withUnsafeBytes(of: store.bits) { unsafe target.copyMemory(from: $0.baseAddress!, byteCount: store.size) }
            }
            storeBuffers[thread].removeAll(keepingCapacity: true)
            threads[thread].buffered = 0
        }
        bufferedCount = 0
    }
}
