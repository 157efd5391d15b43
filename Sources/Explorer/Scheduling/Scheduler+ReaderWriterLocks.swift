// SPDX-License-Identifier: Apache-2.0

import Substrate

// Reader-writer locks.
extension Scheduler {
    func readerWriterLock(_ thread: Int32, _ operation: Operation) -> Bool {
        let index = Int(thread)
        let lock = object(at: operation.object)
        threads[index].object = lock
        objects[lock].isReaderWriterLock = true
        let word = SharedLock.Mode(operation.kind)!
        let isTry = operation.kind == .tryReadLock || operation.kind == .tryWriteLock
        /// While the execution is wound up.
        func windUp() -> Bool {
            windUpLock(operation.kind, word, operation.object, operation.site)
        }
        /// Waits for its turn, and takes the step. Nil when the thread is being drained.
        func step(_ kind: StepKind) -> Step.Effect? {
            threads[index].kind = kind
            park(thread)
            guard mode != .draining else { return nil }
            let isFree = !isHeld(lock)
            if isFree, !tryWord(word, lock) {
                guard !isTry else {
                    _ = failTry(thread, lock, operation.site)
                    return Step.Effect(kind: kind, succeeds: false)
                }
                guard awaitWord(word, lock, thread, operation.site) else { return nil }
            }
            let effect = take(thread, operation.site)
            // A try does not pass a writer that waits.
            if isFree, !isHeld(lock) { freeWord(word, of: lock, operation.site) }
            return effect
        }
        switch operation.kind {
        case .readLock, .tryReadLock:
            guard let effect = step(operation.kind == .readLock ? .readLock : .tryReadLock) else {
                return windUp()
            }
            guard effect.acquires else { return false }
            readSections.begin(lock, by: thread, at: threads[index].last)
            if attention.races { sync.load(thread, lock, .acquiring) }
        case .readUnlock:
            threads[index].kind = .readUnlock
            park(thread)
            if mode == .draining { return windUp() }
            guard let beginning = readSections.end(lock, by: thread)
            else {
                fail(
                    .misuse,
                    "\(name(ofThread: thread)) ended a read of \(name(of: lock)) that it did not begin"
                )
                return true
            }
            take(thread, operation.site, closing: beginning)
            if objects[lock].lock.readers == 0 {
                freeWord(.reader, of: lock, operation.site)
            }
            // Readers publish to the next writer, not to each other; a writer's store replaces all
            // of it.
            if attention.races { sync.update(thread, readersRow(of: lock), .releasing) }
        case .writeLock:
            // A writer that must wait arrives first: readers that come later wait behind it.
            if !operation.prefersReaders {
                guard let arrival = step(.writeRequest) else { return windUp() }
                if arrival.acquires {
                    acquire(lock, by: thread, .writeLock)
                    return true
                }
            }
            guard step(.writeLock) != nil else { return windUp() }
            acquire(lock, by: thread, .writeLock)
        case .tryWriteLock:
            guard let effect = step(.tryWriteLock) else { return windUp() }
            guard effect.acquires else { return false }
            acquire(lock, by: thread, .tryWriteLock)
        default:
            threads[index].kind = .writeUnlock
            park(thread)
            if mode == .draining { return windUp() }
            let wasHeld = objects[lock].lock.isHeld
            if objects[lock].lock.owner != thread {
                fail(
                    .misuse,
                    "\(name(ofThread: thread)) ended a write of \(name(of: lock)) that it did not begin"
                )
            }
            take(thread, operation.site)
            if wasHeld { freeWord(.writer, of: lock, operation.site) }
            publish(lock, by: thread)
        }
        return true
    }
}
