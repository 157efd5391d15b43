// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate
import Testing

/// Objects at addresses that do not change.
private final class Objects: Sendable {
    let atomic = Atomic<Int>(5)
    let flag = Atomic<Bool>(false)
    let mutex = Mutex(0)
    let lock = RWLock(0)
    let readersFirst = RWLock(0, preferring: .readers)
    let condition = Condition()
    let point = WaitPoint(3)
    let plain = Unsynchronized(1)
}

@Suite struct ObserverTests {
    private let observer = RecordingObserver()
    private let objects = Objects()

    /// The operations of `body`, and that each concerned `object`.
    private func operations(on object: UInt, _ body: () -> Void) -> [Operation] {
        observer.operations = []
        observer.watch(body)
        #expect(observer.operations.allSatisfy { $0.object == object })
        return observer.operations
    }

    // MARK: Atomics

    @Test func `loads and stores tell their orders`() {
        let atomic = address(of: objects.atomic)
        let loads = operations(on: atomic) {
            _ = objects.atomic.load(ordering: .relaxed)
            _ = objects.atomic.load(ordering: .acquiring)
            _ = objects.atomic.load(ordering: .sequentiallyConsistent)
        }
        #expect(loads.map(\.kind) == [.load, .load, .load])
        #expect(loads.map(\.order) == [.relaxed, .acquiring, .sequentiallyConsistent])
        let stores = operations(on: atomic) {
            objects.atomic.store(1, ordering: .relaxed)
            objects.atomic.store(2, ordering: .releasing)
            objects.atomic.store(3, ordering: .sequentiallyConsistent)
            objects.atomic.storeAsymmetric(4)
        }
        #expect(stores.map(\.kind) == [.store, .store, .store, .asymmetricStore])
        #expect(stores.map(\.order) == [.relaxed, .releasing, .sequentiallyConsistent, .releasing])
        #expect(stores.map(\.operand.low) == [1, 2, 3, 4])
        #expect(observer.accesses.suffix(4).map(\.size) == [8, 8, 8, 8])
        #expect(objects.atomic.load(ordering: .relaxed) == 4)
    }

    @Test func `updates tell their orders and do what they say`() {
        let updates = operations(on: address(of: objects.atomic)) {
            objects.atomic.wrappingAdd(1, ordering: .relaxed)
            objects.atomic.wrappingSubtract(1, ordering: .acquiring)
            objects.atomic.add(1, ordering: .releasing)
            objects.atomic.subtract(1, ordering: .acquiringAndReleasing)
            objects.atomic.bitwiseAnd(7, ordering: .sequentiallyConsistent)
            objects.atomic.bitwiseOr(8, ordering: .relaxed)
            objects.atomic.bitwiseXor(1, ordering: .relaxed)
            objects.atomic.min(20, ordering: .relaxed)
            objects.atomic.max(20, ordering: .relaxed)
            objects.atomic.exchange(9, ordering: .acquiringAndReleasing)
        }
        #expect(updates.allSatisfy { $0.kind == .readModifyWrite })
        #expect(
            updates.map(\.order) == [
                .relaxed, .acquiring, .releasing, .acquiringAndReleasing, .sequentiallyConsistent,
                .relaxed, .relaxed,
                .relaxed, .relaxed, .acquiringAndReleasing,
            ])
        #expect(observer.ends.map(\.old.low) == [5, 6, 5, 6, 5, 5, 13, 12, 12, 20])
        #expect(observer.ends.map(\.new.low) == [6, 5, 6, 5, 5, 13, 12, 12, 20, 9])
        #expect(observer.ends.allSatisfy { $0.wrote })
        #expect(objects.atomic.load(ordering: .relaxed) == 9)
    }

    @Test func `updates of a boolean are seen`() {
        let updates = operations(on: address(of: objects.flag)) {
            objects.flag.logicalOr(true, ordering: .releasing)
            objects.flag.logicalAnd(true, ordering: .acquiring)
            objects.flag.logicalXor(true, ordering: .relaxed)
        }
        #expect(updates.map(\.kind) == [.readModifyWrite, .readModifyWrite, .readModifyWrite])
        #expect(updates.map(\.order) == [.releasing, .acquiring, .relaxed])
        #expect(observer.ends.map(\.new.low) == [1, 1, 0])
    }

    @Test func `a compare-exchange tells the orders of success and failure`() {
        let atomic = objects.atomic.load(ordering: .relaxed)
        #expect(atomic == 5)
        let exchanges = operations(on: address(of: objects.atomic)) {
            objects.atomic.compareExchange(
                expected: 5, desired: 6, successOrdering: .acquiringAndReleasing,
                failureOrdering: .acquiring)
            objects.atomic.compareExchange(
                expected: 5, desired: 7, successOrdering: .sequentiallyConsistent,
                failureOrdering: .relaxed)
            objects.atomic.weakCompareExchange(
                expected: 6, desired: 8, successOrdering: .releasing,
                failureOrdering: .sequentiallyConsistent)
            objects.atomic.compareExchange(expected: 8, desired: 9, ordering: .releasing)
            objects.atomic.compareExchange(
                expected: 9, desired: 10, ordering: .acquiringAndReleasing)
        }
        #expect(exchanges.allSatisfy { $0.kind == .compareExchange })
        #expect(
            exchanges.map(\.order) == [
                .acquiringAndReleasing, .sequentiallyConsistent, .releasing, .releasing,
                .acquiringAndReleasing,
            ])
        #expect(
            observer.accesses.map(\.failureOrder) == [
                .acquiring, .relaxed, .sequentiallyConsistent, .relaxed, .acquiring,
            ])
        #expect(exchanges.map(\.operand.low) == [5, 5, 6, 8, 9])
        #expect(observer.ends.map(\.wrote) == [true, false, true, true, true])
        #expect(observer.ends.map(\.old.low) == [5, 6, 6, 8, 9])
        #expect(objects.atomic.load(ordering: .relaxed) == 10)
    }

    @Test func `an observer can answer a load and swallow a store`() {
        observer.directive = .forward(Bits(low: 77))
        let forwarded = observer.watch { objects.atomic.load(ordering: .relaxed) }
        #expect(forwarded == 77)
        observer.directive = .done
        observer.watch { objects.atomic.store(1, ordering: .relaxed) }
        #expect(objects.atomic.load(ordering: .relaxed) == 5)
    }

    @Test func `fences and barriers tell their orders`() {
        let fences = operations(on: 0) {
            atomicMemoryFence(ordering: .acquiring)
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            membarrier()
        }
        #expect(fences.map(\.kind) == [.fence, .fence, .membarrier])
        #expect(
            fences.map(\.order) == [.acquiring, .sequentiallyConsistent, .sequentiallyConsistent])
    }

    @Test func `values are told as text only while recording`() {
        observer.watch { objects.atomic.store(6, ordering: .relaxed) }
        #expect(observer.descriptions.isEmpty)
        observer.isRecording = true
        observer.watch {
            objects.atomic.store(7, ordering: .relaxed)
            _ = objects.atomic.load(ordering: .relaxed)
            objects.atomic.add(1, ordering: .relaxed)
            objects.plain.store(2)
        }
        #expect(observer.descriptions.map(\.old) == ["6", "7", "7", "1"])
        #expect(observer.descriptions.map(\.new) == ["7", "7", "8", "2"])
    }

    // MARK: Locks

    @Test func `a mutex acquires and releases`() {
        let operations = operations(on: address(of: objects.mutex)) {
            objects.mutex.withLock { $0 += 1 }
            _ = objects.mutex.withLockIfAvailable { $0 += 1 }
            objects.mutex.lock()
            objects.mutex.unlock()
        }
        #expect(operations.map(\.kind) == [.lock, .unlock, .tryLock, .unlock, .lock, .unlock])
        #expect(
            operations.map(\.order) == [
                .acquiring, .releasing, .acquiring, .releasing, .acquiring, .releasing,
            ])
        #expect(objects.mutex.withLock { $0 } == 2)
    }

    @Test func `a try that the observer refuses fails`() {
        observer.answer = false
        let operations = operations(on: address(of: objects.mutex)) {
            #expect(objects.mutex.withLockIfAvailable { $0 } == nil)
        }
        #expect(operations.map(\.kind) == [.tryLock])
        let tries = self.operations(on: address(of: objects.lock)) {
            #expect(objects.lock.withReadLockIfAvailable { $0 } == nil)
            #expect(objects.lock.withWriteLockIfAvailable { $0 } == nil)
        }
        #expect(tries.map(\.kind) == [.tryReadLock, .tryWriteLock])
    }

    @Test func `a reader-writer lock tells who goes first`() {
        func use(_ lock: borrowing RWLock<Int>) {
            lock.withReadLock { _ in }
            lock.withWriteLock { $0 += 1 }
            _ = lock.withReadLockIfAvailable { $0 }
            _ = lock.withWriteLockIfAvailable { $0 }
        }
        let kinds: [OperationKind] = [
            .readLock, .readUnlock, .writeLock, .writeUnlock, .tryReadLock, .readUnlock,
            .tryWriteLock, .writeUnlock,
        ]
        let writers = operations(on: address(of: objects.lock)) { use(objects.lock) }
        #expect(writers.map(\.kind) == kinds)
        #expect(
            writers.map(\.order.acquires) == [true, false, true, false, true, false, true, false])
        #expect(
            writers.map(\.order.releases) == [false, true, false, true, false, true, false, true])
        #expect(writers.allSatisfy { !$0.prefersReaders })
        let readers = operations(on: address(of: objects.readersFirst)) {
            use(objects.readersFirst)
        }
        #expect(readers.map(\.kind) == kinds)
        #expect(readers.allSatisfy { $0.prefersReaders })
    }

    // MARK: Waiting

    @Test func `a condition names its mutex and its deadline`() {
        let operations = operations(on: address(of: objects.condition)) {
            objects.condition.wait(objects.mutex)
            objects.condition.wait(objects.mutex, until: WorldClock.Instant(nanoseconds: 99))
            objects.condition.signal()
            objects.condition.broadcast()
        }
        let mutex = address(of: objects.mutex)
        #expect(operations.map(\.kind) == [.wait, .wait, .signal, .broadcast])
        #expect(operations.map(\.other) == [mutex, mutex, 0, 0])
        #expect(operations.map(\.deadline) == [0, 99, 0, 0])
        observer.answer = false
        let woken = observer.watch { objects.condition.wait(objects.mutex) }
        #expect(!woken)
    }

    @Test func `waiting in a loop waits as long as the predicate holds`() {
        var left = 2
        observer.watch {
            objects.mutex.withLock(
                waitingFor: objects.condition,
                while: { _ in
                    left -= 1
                    return left >= 0
                }
            ) { $0 = 1 }
        }
        #expect(observer.kinds == [.lock, .wait, .wait, .unlock])
    }

    @Test func `a wait point tells the value, the count and the deadline`() {
        let operations = operations(on: address(of: objects.point)) {
            objects.point.wait(while: 3)
            objects.point.wait(while: 4, until: WorldClock.Instant(nanoseconds: 99))
            objects.point.wake(2)
            objects.point.wake()
            objects.point.wake(-1)
        }
        #expect(operations.map(\.kind) == [.parkWhile, .parkWhile, .wake, .wake, .wake])
        #expect(operations.map(\.operand.low) == [3, 4, 2, UInt64(Int.max), 0])
        #expect(operations.map(\.deadline) == [0, 99, 0, 0, 0])
    }

    @Test func `time is the observer's`() {
        let now = observer.watch { WorldClock.now() }
        #expect(now == WorldClock.Instant(nanoseconds: 42))
        let sleeps = operations(on: 0) {
            WorldClock.sleep(until: WorldClock.Instant(nanoseconds: 0))
            WorldClock.sleep(for: .nanoseconds(8))
        }
        #expect(sleeps.map(\.kind) == [.sleep, .sleep])
        #expect(sleeps.map(\.deadline) == [1, 50])
    }

    @Test func `a spin tells each round`() {
        var left = 2
        observer.watch {
            spin {
                left -= 1
                return left >= 0
            }
        }
        #expect(observer.spins == ["begins", "waits", "begins", "waits", "begins", "ends"])
    }

    // MARK: Memory and objects

    @Test func `plain memory tells reads and writes`() {
        let operations = operations(on: address(of: objects.plain)) {
            _ = objects.plain.load()
            objects.plain.store(5)
            objects.plain.withValue { $0 += 1 }
        }
        #expect(operations.map(\.kind) == [.plainRead, .plainWrite, .plainWrite])
        #expect(operations.allSatisfy { $0.order == .relaxed })
        #expect(objects.plain.load() == 6)
    }

    @Test func `storage tells its accesses and leaves its end to the observer`() {
        let storage = Storage.allocate(1)
        observer.watch {
            storage.write(storage.read() + 1)
            unsafe storage.free()
        }
        #expect(observer.kinds == [.plainRead, .plainWrite, .free])
        #expect(Set(observer.operations.map(\.object)).count == 1)
        // The observer did nothing about the end, so the value lives.
        #expect(storage.read() == 2)
        unsafe storage.free()
    }

    @Test func `an object is sighted, and tells its name while recording`() {
        observer.watch { objects.atomic.label("count") }
        #expect(observer.sighted == [address(of: objects.atomic)])
        #expect(observer.labels.isEmpty)
        observer.isRecording = true
        observer.watch { objects.atomic.label("count") }
        #expect(observer.labels == [address(of: objects.atomic): "count"])
    }

    @Test func `every kind of object tells its name`() {
        observer.isRecording = true
        observer.watch {
            let objects = Objects()
            objects.atomic.label("count")
            objects.mutex.label("lock")
            objects.lock.label("book")
            objects.condition.label("news")
            objects.point.label("point")
            objects.plain.label("plain")
        }
        #expect(Set(observer.labels.values) == ["count", "lock", "book", "news", "point", "plain"])
    }

    @Test func `a name is not even computed when nobody watches`() {
        var computed = 0
        func name() -> String {
            computed += 1
            return "name"
        }
        objects.atomic.label(name())
        objects.mutex.label(name())
        objects.plain.label(name())
        #expect(computed == 0)
    }

    @Test func `operations tell where they are written`() {
        var line: UInt = 0
        observer.watch {
            line = #line + 1
            objects.atomic.store(1, ordering: .relaxed)
            objects.mutex.withLock { $0 = 1 }
        }
        #expect(observer.operations.map(\.site.line) == [line, line + 1, line + 1])
        #expect(
            observer.operations.allSatisfy {
                $0.site.file.description.hasSuffix("ObserverTests.swift")
            })
    }

    // MARK: Who watches

    @Test func `an observer that is put away sees nothing more`() {
        observer.watch { objects.atomic.store(1, ordering: .relaxed) }
        objects.atomic.store(2, ordering: .relaxed)
        objects.mutex.withLock { $0 = 1 }
        #expect(observer.kinds == [.store])
        #expect(unsafe quiesce_current_block().pointee.observer == nil)
    }

    @Test func `only the watched thread is seen`() throws {
        let started = Atomic<Bool>(false)
        let thread = try WorldThread.spawn { [objects] in
            spin { !started.load(ordering: .acquiring) }
            objects.atomic.store(9, ordering: .releasing)
        }
        observer.watch {
            objects.flag.store(true, ordering: .relaxed)
        }
        started.store(true, ordering: .releasing)
        thread.join()
        #expect(observer.kinds == [.store])
        #expect(objects.atomic.load(ordering: .relaxed) == 9)
    }

    @Test func `the base class lets everything happen`() {
        let base = Observer()
        let result = base.watch {
            objects.atomic.store(1, ordering: .releasing)
            objects.atomic.storeAsymmetric(2)
            objects.atomic.wrappingAdd(1, ordering: .relaxed)
            let exchanged = objects.atomic.compareExchange(
                expected: 3, desired: 4, ordering: .relaxed
            ).exchanged
            objects.mutex.withLock { $0 = objects.atomic.load(ordering: .relaxed) }
            let tried = objects.mutex.withLockIfAvailable {
                $0 += 1; return $0
            }
            objects.lock.withReadLock { _ in }
            objects.lock.withWriteLock { $0 = 1 }
            objects.condition.wait(objects.mutex)
            objects.condition.signal()
            objects.condition.broadcast()
            objects.point.wait(while: 3)
            objects.point.wake()
            objects.plain.store(objects.plain.load() + 1)
            objects.plain.label("plain")
            membarrier()
            atomicMemoryFence(ordering: .acquiring)
            spin { false }
            WorldClock.sleep(for: .seconds(1000))
            return WaitClass(.gate).section("class") { exchanged && tried == 5 }
        }
        #expect(result)
        #expect(objects.atomic.load(ordering: .relaxed) == 4)
        #expect(objects.plain.load() == 2)
        #expect(objects.lock.withReadLock { $0 } == 1)
    }
}
