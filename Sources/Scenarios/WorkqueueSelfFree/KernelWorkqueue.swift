// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

/// `struct workqueue_struct` with workers of its own.
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

    /// How the queue finds out that an item is running already, and has to wait until it is not:
    /// `find_worker_executing_work`.
    enum Identity {
        /// By the item's address, as before Linux 3.8.
        case address
        /// By the item's address and its function.
        case addressAndFunction
    }

    /// `struct worker`
    private final class Worker: Sendable {
        let name: String
        let current = Unsynchronized<Run?>(nil)
        /// Items that wait until this worker has ended what it runs.
        let scheduled = Unsynchronized<[Storage<KernelItem>]>([])

        init(_ name: String, label: String) {
            self.name = name
            current.label(label + ".current")
            scheduled.label(label + ".scheduled")
        }
    }

    /// `worker->current_work` and `worker->current_func`
    private struct Run: Sendable, CustomStringConvertible {
        let item: Storage<KernelItem>
        let function: String

        var description: String { "\(item)" }
    }

    private let name: String
    private let world: ExploredWorld
    private let habit: Habit
    private let identity: Identity
    private let workers: [Worker]
    /// `pool->lock`, and what it protects.
    private let lock = Mutex(())
    private let worklist = Unsynchronized<[Storage<KernelItem>]>([])
    /// `__WQ_DESTROYING`
    private let isDestroying = Unsynchronized(false)
    private let startedWorkers = Unsynchronized(0)
    /// An item has ended, or has been put off.
    private let changed = Condition()
    /// How long the worklist is. The workers sleep while that is 0.
    private let length = WaitPoint()
    // What the kernel tells its lock validator: the runs of the queue's items, those of one worker,
    // and an item that does not run.
    private let runs = WaitClass(.workQueue)
    private let runsOfWorker = WaitClass(.workItem)
    private let pendingItem = WaitClass(.workItem)

    /// `alloc_workqueue`
    ///
    /// - Parameter workers: the names of the workers. One starts at once, each of the others when
    ///   an item waits for another.
    init(
        _ name: String, in world: ExploredWorld, workers: [String] = ["worker"],
        habit: Habit = .leavesItAlone, identity: Identity = .addressAndFunction
    ) {
        self.name = name
        self.world = world
        self.habit = habit
        self.identity = identity
        self.workers = workers.map { Worker($0, label: workers.count == 1 ? name : $0) }
        lock.label(name + ".lock")
        worklist.label(name + ".worklist")
        isDestroying.label(name + ".isDestroying")
        changed.label(name + ".changed")
        length.label(name + ".length")
        startedWorkers.label(name + ".startedWorkers")
        startWorker()
    }

    // MARK: Using it

    /// `queue_work`: false when the item was pending already.
    ///
    /// A queue that is being destroyed drops the item: the answer is true, and the item stays
    /// pending. Linux makes an exception for the queue's own items, which no story needs.
    @discardableResult
    func queue(_ item: Storage<KernelItem>) -> Bool {
        lock.lock()
        let isMine = item.pointee.pending.exchange(1, ordering: .acquiringAndReleasing) == 0
        let isAdmitted = isMine && !isDestroying.load()
        if isAdmitted { change { $0.append(item) } }
        lock.unlock()
        if isAdmitted { length.wake(1) }
        return isMine
    }

    /// `flush_work`: waits until the item's last queueing is over.
    ///
    /// The caller is an item of this queue. Another worker starts for one that blocks.
    func flush(_ item: Storage<KernelItem>) {
        lock.lock()
        startWorker()
        while worklist.load().contains(item) { wait(for: item, behind: runs.of(self), name) }
        while let worker = workers.first(where: { $0.scheduled.load().contains(item) }) {
            wait(for: item, behind: runsOfWorker.of(worker), worker.name)
        }
        waitForRun(of: item)
        lock.unlock()
    }

    /// `cancel_work_sync`: afterwards the item is neither pending nor running, for the moment.
    func cancelSync(_ item: Storage<KernelItem>) {
        lock.lock()
        if worklist.load().contains(item) {
            change { $0.removeAll { $0 == item } }
            item.pointee.pending.store(0, ordering: .releasing)
        }
        waitForRun(of: item)
        lock.unlock()
    }

    /// `destroy_workqueue`: waits for all items to finish first.
    func destroy() {
        lock.lock()
        isDestroying.store(true)
        while isBusy { _ = runs.of(self).waiting(name) { changed.wait(lock) } }
        lock.unlock()
    }

    private func waitForRun(of item: Storage<KernelItem>) {
        while let worker = worker(executing: item) {
            _ = runsOfWorker.of(worker).waiting("\(item)") { changed.wait(lock) }
        }
    }

    /// Waits for an item that is in line behind the runs of `line`.
    private func wait(for item: Storage<KernelItem>, behind line: WaitClass, _ name: String) {
        line.waiting(name) { _ = pendingItem.waiting("\(item)") { changed.wait(lock) } }
    }

    private var isBusy: Bool {
        !worklist.load().isEmpty || workers.contains { $0.current.load() != nil }
    }

    /// `find_worker_executing_work`
    private func worker(executing item: Storage<KernelItem>) -> Worker? {
        workers.first { worker in
            guard let run = worker.current.load(), run.item == item else { return false }
            return identity == .address || run.function == item.pointee.function.load().name
        }
    }

    private func change(_ body: (inout [Storage<KernelItem>]) -> Void) {
        var list = worklist.load()
        body(&list)
        worklist.store(list)
        length.word.store(UInt32(list.count), ordering: .releasing)
    }

    // MARK: The workers

    /// Starts the next worker, if there is one.
    private func startWorker() {
        let number = startedWorkers.load()
        guard number < workers.count else { return }
        startedWorkers.store(number + 1)
        let worker = workers[number]
        // Not a service: one that waits inside an item does not wait for something to do.
        world.thread(worker.name) { self.work(as: worker) }
    }

    /// `worker_thread`
    private func work(as worker: Worker) {
        var patience = WaitPoint.Patience.none
        while true {
            if case .over = length.idle(while: 0, patience: &patience) { return }
            lock.lock()
            while let item = worklist.load().first {
                // An item does not run beside itself.
                if let other = self.worker(executing: item) {
                    change { $0.removeFirst() }
                    other.scheduled.withValue { $0.append(item) }
                    world.note("put behind \(other.name)")
                    changed.broadcast()
                } else {
                    processWorks(item, worker)
                }
            }
            lock.unlock()
        }
    }

    /// The first item of the worklist, and what is scheduled for this worker meanwhile.
    private func processWorks(_ first: Storage<KernelItem>, _ worker: Worker) {
        processOneWork(first, worker) { change { $0.removeFirst() } }
        while let item = worker.scheduled.load().first {
            processOneWork(item, worker) { worker.scheduled.withValue { _ = $0.removeFirst() } }
        }
    }

    /// `process_one_work`, with the lock held.
    private func processOneWork(
        _ item: Storage<KernelItem>, _ worker: Worker, unlink: () -> Void
    ) {
        let function = item.pointee.function.load()
        if habit == .copiesLockMap { _ = item.pointee.lockMap.load() }
        worker.current.store(Run(item: item, function: function.name))
        unlink()
        if habit != .clearsPending { item.pointee.pending.store(0, ordering: .releasing) }
        lock.unlock()

        runs.of(self).section(name) {
            runsOfWorker.of(worker).section(name) { function.call(item) }
        }
        switch habit {
        case .leavesItAlone, .copiesLockMap: break
        case .readsLockMap: _ = item.pointee.lockMap.load()
        case .tracesFunction: _ = item.pointee.function.load()
        case .clearsPending: item.pointee.pending.store(0, ordering: .releasing)
        }

        lock.lock()
        worker.current.store(nil)
        changed.broadcast()
    }
}
