// SPDX-License-Identifier: Apache-2.0

import Substrate

// Reader-writer locks.
extension Scheduler {
    func readerWriterLock(_ thread: Int32, _ operation: Operation) -> Bool {
        let index = Int(thread)
        let lock = object(at: operation.object)
        threads[index].object = lock
        /// Waits for its turn, and takes the step. Nil when the thread is being drained.
        func step(_ kind: StepKind, closing opener: () -> Int32 = { -1 }) -> Step.Effect? {
            threads[index].kind = kind
            park(thread)
            return mode == .draining ? nil : take(thread, operation.site, closing: opener())
        }
        switch operation.kind {
        case .readLock, .tryReadLock:
            guard let effect = step(operation.kind == .readLock ? .readLock : .tryReadLock) else {
                return true
            }
            guard effect.acquires else { return false }
            readSections.begin(lock, by: thread, at: threads[index].last)
            if attention.races { sync.load(thread, lock, .acquiring) }
        case .readUnlock:
            threads[index].kind = .readUnlock
            park(thread)
            if mode == .draining { return true }
            guard let beginning = readSections.end(lock, by: thread)
            else {
                fail(
                    .misuse,
                    "\(name(ofThread: thread)) ended a read of \(name(of: lock)) that it did not begin"
                )
                return true
            }
            take(thread, operation.site, closing: beginning)
            // Readers publish to the next writer, not to each other; a writer's store replaces all
            // of it.
            if attention.races { sync.update(thread, readersRow(of: lock), .releasing) }
        case .writeLock:
            // A writer that must wait arrives first: readers that come later wait behind it.
            if !operation.prefersReaders {
                guard let arrival = step(.writeRequest) else { return true }
                if arrival.acquires {
                    acquire(lock, by: thread, .writeLock)
                    return true
                }
            }
            guard step(.writeLock) != nil else { return true }
            acquire(lock, by: thread, .writeLock)
        case .tryWriteLock:
            guard let effect = step(.tryWriteLock) else { return true }
            guard effect.acquires else { return false }
            acquire(lock, by: thread, .tryWriteLock)
        default:
            threads[index].kind = .writeUnlock
            park(thread)
            if mode == .draining { return true }
            if objects[lock].lock.owner != thread {
                fail(
                    .misuse,
                    "\(name(ofThread: thread)) ended a write of \(name(of: lock)) that it did not begin"
                )
            }
            take(thread, operation.site)
            publish(lock, by: thread)
        }
        return true
    }
}
