// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

/// `struct workqueue_struct` with one worker of its own.
final class KernelWorkqueue: Sendable {
    /// What a worker does with an item whose function has returned.
    enum Habit {
        /// Nothing. What the lock validator needs is left out.
        case leavesItAlone
        /// Tells the lock validator of the run's end, by a copy of the item's map.
        case copiesLockMap
        /// Tells the lock validator of the run's end, by the item's map:
        /// `lock_map_release(&work->lockdep_map)`.
        case readsLockMap
        /// A trace point that looks at what the pointer points at.
        case tracesFunction
        /// Clears `WORK_STRUCT_PENDING`, which the kernel does before the call.
        case clearsPending
    }

    private let habit: Habit
    /// `pool->lock`, and what it protects.
    private let lock = Mutex(())
    private let worklist = Unsynchronized<[Storage<KernelItem>]>([])
    /// `worker->current_work`
    private let current = Unsynchronized<Storage<KernelItem>?>(nil)
    private let ended = Condition()
    /// How long the worklist is. The worker sleeps while that is 0.
    private let length = WaitPoint()

    /// `alloc_workqueue`
    init(
        _ name: String, in world: ExploredWorld, worker: String = "worker",
        habit: Habit = .leavesItAlone
    ) {
        self.habit = habit
        lock.label(name + ".lock")
        worklist.label(name + ".worklist")
        current.label(name + ".current")
        ended.label(name + ".ended")
        length.label(name + ".length")
        // Not a service: one that waits inside an item does not wait for something to do.
        world.thread(worker) { self.work() }
    }

    // MARK: Using it

    /// `queue_work`: false when the item was pending already.
    @discardableResult
    func queue(_ item: Storage<KernelItem>) -> Bool {
        lock.lock()
        let isMine = item.pointee.pending.exchange(1, ordering: .acquiringAndReleasing) == 0
        if isMine { change { $0.append(item) } }
        lock.unlock()
        if isMine { length.wake() }
        return isMine
    }

    /// `cancel_work_sync`: afterwards the item is neither pending nor running, for the moment.
    func cancelSync(_ item: Storage<KernelItem>) {
        lock.lock()
        if worklist.load().contains(item) {
            change { $0.removeAll { $0 == item } }
            item.pointee.pending.store(0, ordering: .releasing)
        }
        while current.load() == item { ended.wait(lock) }
        lock.unlock()
    }

    /// `destroy_workqueue`: waits for all items to finish first.
    func destroy() {
        lock.lock()
        while current.load() != nil || !worklist.load().isEmpty { ended.wait(lock) }
        lock.unlock()
    }

    private func change(_ body: (inout [Storage<KernelItem>]) -> Void) {
        var list = worklist.load()
        body(&list)
        worklist.store(list)
        length.word.store(UInt32(list.count), ordering: .releasing)
    }

    // MARK: The worker

    /// `worker_thread`
    private func work() {
        var patience = WaitPoint.Patience.none
        while true {
            if case .over = length.idle(while: 0, patience: &patience) { return }
            lock.lock()
            while let item = worklist.load().first { processOneWork(item) }
            lock.unlock()
        }
    }

    /// `process_one_work`, with the lock held.
    private func processOneWork(_ item: Storage<KernelItem>) {
        let function = item.pointee.function.load()
        if habit == .copiesLockMap { _ = item.pointee.lockMap.load() }
        current.store(item)
        change { $0.removeFirst() }
        if habit != .clearsPending { item.pointee.pending.store(0, ordering: .releasing) }
        lock.unlock()

        function.call(item)
        switch habit {
        case .leavesItAlone, .copiesLockMap: break
        case .readsLockMap: _ = item.pointee.lockMap.load()
        case .tracesFunction: _ = item.pointee.function.load()
        case .clearsPending: item.pointee.pending.store(0, ordering: .releasing)
        }

        lock.lock()
        current.store(nil)
        ended.broadcast()
    }
}
