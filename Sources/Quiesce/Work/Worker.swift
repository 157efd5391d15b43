// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A thread of a pool.
final class Worker: BlockingObserver, @unchecked Sendable {
    // Unchecked: what changes belongs to its own thread, or is protected by the pool's lock.
    let number: Int
    /// Raised by whoever calls the worker, cleared under the pool's lock by the worker.
    let point = WaitPoint()
    private unowned let pool: WorkerPool
    /// What it runs.
    private(set) var run: Run?
    /// How many looks it takes at its word before it sleeps: more, where that has paid.
    private var patience = Worker.leastPatience

    /// An item's function that runs. The item itself may be gone.
    struct Run {
        let queue: WorkQueue
        let id: UInt64
        let ticket: UInt64
        let name: String
        let address: ObjectIdentifier
    }

    private static let leastPatience = 64
    private static let mostPatience = 1024

    init(_ number: Int, _ pool: WorkerPool) {
        self.number = number
        self.pool = pool
        super.init()
        point.label("worker \(number)")
    }

    /// The worker that the caller is an item of.
    static var running: Worker? { BlockingObserver.current as? Worker }

    /// Runs `function`, which is what `run` tells of.
    func run(_ run: Run, _ function: () -> Void) {
        self.run = run
        observe(function)
        self.run = nil
        if Presence.isInsideAnything { Misuse.report(.returnedInside, #filePath, #line) }
    }

    override func blocks() { pool.stopsRunning() }
    override func goesOn() { pool.runsAgain() }

    /// The life of the thread.
    func work() {
        while let queue = pool.next(for: self) { queue.serve(self) }
    }

    /// Waits until somebody calls.
    func idle(until deadline: Clock.Instant?) -> WaitPoint.Call {
        if point.linger(while: 0, rounds: patience) {
            patience = min(patience * 2, Self.mostPatience)
            return .woken
        }
        patience = max(patience / 2, Self.leastPatience)
        return point.idle(while: 0, until: deadline)
    }

    func call() {
        point.word.store(1, ordering: .releasing)
        point.wake(1)
    }
}
