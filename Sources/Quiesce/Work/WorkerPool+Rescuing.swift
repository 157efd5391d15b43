// SPDX-License-Identifier: Apache-2.0

import Substrate

// What is done where items block in ways that the pool does not see.
extension WorkerPool {
    /// Calls the rescuer, since more is listed than those that run can take up at
    /// once.
    func watch(_ state: inout State) -> Call? {
        guard rescuer != nil, !state.isWatched else { return nil }
        state.isWatched = true
        beginLook(&state)
        return .watch
    }

    private func beginLook(_ state: inout State) {
        state.hasMoved = false
        for worker in state.workers {
            if let worker, worker.standing == .running {
                worker.isWatched.store(true, ordering: .relaxed)
            }
        }
    }

    /// Looks whether a worker has ended an item or taken up a queue since the last look. If none
    /// has, one of those that run stands as stuck from here on, and another runs in its place.
    ///
    /// False when nothing is listed any more: then the pool is not looked after. Kernel
    /// counterparts: `pool_mayday_timeout`, and `wq_worker_tick`, which has others run beside an
    /// item that keeps a processor.
    func rescue() -> Bool {
        var isWatched = false
        let isSeenTo = attempt("look after") { state in
            isWatched = state.isAnyListed
            state.isWatched = isWatched
            guard isWatched else { return }
            if !state.hasMoved, state.running >= size,
                let stuck = state.workers.first(where: { isStuck($0) }), let stuck
            {
                state.set(stuck, .stuck)
            }
            beginLook(&state)
        }
        if !isSeenTo { isShortOfThreads() }
        return isWatched
    }

    /// Whether the worker has run one item since the last look.
    private func isStuck(_ worker: Worker?) -> Bool {
        guard let worker, worker.standing == .running else { return false }
        return worker.isWatched.load(ordering: .relaxed)
    }

    /// A worker has ended an item.
    @inline(__always)
    func noteEnd(of worker: Worker) {
        guard rescuer != nil, worker.isWatched.load(ordering: .relaxed) else { return }
        whole.write("move in") {
            state.withLock { state in
                settle(worker, &state)
                tell(state)
            }
        }
    }

    /// The worker is not stuck.
    func settle(_ worker: Worker, _ state: inout State) {
        guard rescuer != nil, worker.isWatched.load(ordering: .relaxed) else { return }
        worker.isWatched.store(false, ordering: .relaxed)
        state.hasMoved = true
        if worker.standing == .stuck { state.set(worker, .running) }
    }
}
