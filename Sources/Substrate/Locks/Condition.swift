// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

/// A condition variable: threads wait on it for what a mutex protects to change.
///
/// A wait may end for no reason, so wait in a loop, or use `Mutex.withLock(waitingFor:while:_:)`,
/// which does. While explored, a wait ends only by a signal, a broadcast or its deadline, and which
/// waiter a signal wakes is a choice of the schedule. Kernel counterpart: `wait_queue_head_t` with
/// an exclusive wait.
public struct Condition: ~Copyable, Sendable {
    private let sequence = Synchronization.Atomic<UInt32>(0)
    // Beside the word: see `SharedWaiters`.
    private let waiters = Sleepers()

    public init() {}

    var address: UInt { unsafe withUnsafePointer(to: sequence) { UInt(bitPattern: $0) } }

    /// Names this condition in traces and begins its life.
    ///
    /// Call it once, in the initializer of its owner: see <doc:MemoryAndObservation#Labels>.
    public func label(_ name: @autoclosure () -> String) {
        if let observer = Watch.observer { observer.label(address, name) }
    }

    /// Releases `mutex`, which this thread must hold, waits, and acquires `mutex` again.
    ///
    /// - Returns: false when `deadline` passed first.
    @available(*, noasync, message: "it would block a thread of the cooperative pool")
    @discardableResult
    public func wait<Value: ~Copyable>(
        _ mutex: borrowing Mutex<Value>, until deadline: WorldClock.Instant? = nil,
        file: StaticString = #filePath, line: UInt = #line
    ) -> Bool {
        block(mutex, until: deadline, Site(file, line))
    }

    func block<Value: ~Copyable>(
        _ mutex: borrowing Mutex<Value>, until deadline: WorldClock.Instant?, _ site: Site
    ) -> Bool {
        if let observer = Watch.observer {
            var operation = Operation(.wait, address, .acquiringAndReleasing, site: site)
            operation.other = mutex.address
            operation.deadline = deadline?.nanoseconds ?? 0
            let waitClass = WaitClass(.condition, site)
            return waitClass.waiting("a condition") {
                BlockingObserver.told { observer.perform(operation) }
            }
        }
        waiters.word.wrappingAdd(1, ordering: .relaxed)
        let seen = sequence.load(ordering: .relaxed)
        mutex.release(site)
        let end = deadline.map { max($0.nanoseconds, 1) } ?? 0
        let result = WaitClass(.condition, site).waiting("a condition") {
            BlockingObserver.told {
                unsafe withUnsafePointer(to: sequence) { unsafe quiesce_futex_wait($0, seen, end) }
            }
        }
        mutex.acquire(site)
        waiters.word.wrappingSubtract(1, ordering: .relaxed)
        return result == 0
    }

    /// Wakes one waiter, if there is one.
    public func signal(file: StaticString = #filePath, line: UInt = #line) {
        notify(.signal, Int32(1), Site(file, line))
    }

    /// Wakes every waiter.
    public func broadcast(file: StaticString = #filePath, line: UInt = #line) {
        notify(.broadcast, Int32.max, Site(file, line))
    }

    private func notify(_ kind: OperationKind, _ count: Int32, _ site: Site) {
        if let observer = Watch.observer {
            _ = observer.perform(Operation(kind, address, .relaxed, site: site))
            return
        }
        // A waiter counted itself while it held the mutex, so a thread that changed the state under
        // the mutex sees it here.
        guard waiters.areToBeWoken() else { return }
        sequence.wrappingAdd(1, ordering: .relaxed)
        unsafe withUnsafePointer(to: sequence) { _ = unsafe quiesce_futex_wake($0, count) }
    }
}

extension Mutex where Value: ~Copyable {
    /// Calls `body` with the value once `predicate` is false, waiting on `condition` while it is
    /// true.
    ///
    /// The lock is held whenever either closure runs.
    @available(*, noasync, message: "it would block a thread of the cooperative pool")
    public borrowing func withLock<Result: ~Copyable, Failure: Error>(
        waitingFor condition: borrowing Condition, file: StaticString = #filePath,
        line: UInt = #line,
        while predicate: (inout sending Value) throws(Failure) -> Bool,
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        let site = Site(file, line)
        acquire(site)
        defer { release(site) }
        let value = unsafe cell.address
        while unsafe try predicate(&value.pointee) {
            _ = condition.block(self, until: nil, site)
        }
        return unsafe try body(&value.pointee)
    }
}
