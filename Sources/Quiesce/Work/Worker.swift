// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A thread of a pool.
@safe
final class Worker: BlockingObserver, @unchecked Sendable {
    // Unchecked: what changes belongs to its own thread, or is protected by the lock of its pool or
    // queue.
    let number: Int
    /// The caller of the worker raises it; the worker clears it under the pool's lock.
    let point = WaitPoint()
    private unowned let pool: WorkerPool
    private var patience = WaitPoint.Patience()

    /// The queue whose item it runs. Its own thread's.
    var queue: WorkQueue? { unsafe served }
    // The server keeps it.
    private unowned(unsafe) var served: WorkQueue?
    // Under the lock of the queue that it serves; its own thread may read them without.
    /// The item that it runs, 0 while it looks for one, `anonymous` for a function of none. The
    /// item itself may be gone.
    var id: UInt64 = 0
    private(set) var ticket: UInt64 = 0
    private var itemName = ""
    /// What it runs, for messages.
    var name: String { id == Self.anonymous ? WorkQueue.unnamed : itemName }
    /// Since when it is known to run that, and whether it began then; nil where nobody has asked.
    private var since: WorldClock.Instant?
    private var isStartKnown = false
    /// The same item, enqueued anew. It follows.
    var following: Unmanaged<WorkItem>?
    // What it is to run next: an item with what its function is given, or a function.
    private var item: Unmanaged<WorkItem>?
    private var payload: UInt = 0
    private var function: (@Sendable () -> Void)?
    private var blockings = 0

    /// Whether a worker counts among those that run.
    enum Standing {
        /// It runs an item, or looks for one, or is called.
        case running
        /// Its item blocks.
        case blocked
        /// The rescuer found that its item does not end.
        case stuck
        case idle
    }

    /// Under the pool's lock.
    var standing = Standing.idle
    /// Set by the rescuer and cleared by the worker, under the pool's lock. The worker reads it
    /// without.
    let isWatched = Atomic(false)
    /// Where the item that it runs was.
    private var address: UInt = 0

    static let anonymous = UInt64.max

    /// Says what runs next, under the lock of the queue.
    func prepare(_ item: Unmanaged<WorkItem>) {
        unsafe self.item = item
        unsafe address = UInt(bitPattern: item.toOpaque())
        since = nil
        unsafe item._withUnsafeGuaranteedRef { item in
            id = item.id.load()
            ticket = item.ticket.load()
            // Most often it is the same, and need not be kept anew.
            if itemName != item.name { itemName = item.name }
            payload = item.payload.load()
        }
    }

    func prepare(_ function: @escaping @Sendable () -> Void, ticket: UInt64) {
        id = Self.anonymous
        self.ticket = ticket
        self.function = function
        since = nil
    }

    /// What runs next begins now.
    func starts(at now: WorldClock.Instant) { (since, isStartKnown) = (now, true) }

    /// Somebody sees what runs.
    func isSeen(at now: WorldClock.Instant) {
        if since == nil { (since, isStartKnown) = (now, false) }
    }

    /// What it runs, for an error.
    func occupant(at now: WorldClock.Instant) -> Occupant {
        Occupant(name, since: since ?? now, isExact: since != nil && isStartKnown, at: now)
    }

    init(_ number: Int, _ pool: WorkerPool) {
        self.number = number
        self.pool = pool
        super.init()
        point.label("worker \(number)")
    }

    /// The worker that the caller is an item of.
    static var running: Worker? { BlockingObserver.current as? Worker }

    /// Runs what the queue has let start, and lets go of it before.
    func run(of queue: WorkQueue) {
        unsafe served = queue
        let wasInside = Presence.isInsideAnything
        // What the function keeps goes within, too: it may be what destroys the queue.
        observe {
            if queue.isTraced { queue.tracer?.started(queue.event(id, name, ticket)) }
            queue.waitClass.section(queue.name) { perform() }
            if queue.isTraced { queue.tracer?.ended(queue.event(id, name, ticket)) }
        }
        unsafe served = nil
        if !wasInside, Presence.isInsideAnything {
            Misuse.report(.returnedInside, #filePath, #line, by: "\(name), on \(queue.name)")
        }
    }

    private func perform() {
        if let function = function.take() {
            function()
        } else if let item = unsafe item {
            // Gives the queue's reference back: from here on the item belongs to its users, and
            // may be gone.
            let (body, waitClass) = Worker.content(of: unsafe item.takeRetainedValue())
            // It can be waited for alone, so it is a section of its own too.
            waitClass.of(UInt(id)).section(name) {
                switch body {
                case .plain(let function): function()
                case .withPayload(let function): function(payload)
                }
            }
        }
    }

    private static func content(of item: consuming WorkItem) -> (WorkItem.Body, WaitClass) {
        (item.body, item.waitClass)
    }

    /// Whether what it runs is this item, and not one that was at its address before. Called by its
    /// own thread.
    func isRunning(_ item: WorkItem) -> Bool {
        let here = unsafe UInt(bitPattern: Unmanaged.passUnretained(item).toOpaque())
        return here == address && id == item.knownID
    }

    // Nested where an item that others run beside blocks.
    override func blocks() {
        blockings += 1
        if blockings == 1 { pool.stopsRunning(self) }
    }

    override func goesOn() {
        blockings -= 1
        if blockings == 0 { pool.runsAgain(self) }
    }

    /// The life of the thread.
    func work() {
        while let queue = pool.next(for: self) { queue.serve(self) }
    }

    /// Waits until somebody calls.
    func idle(until deadline: WorldClock.Instant?) -> WaitPoint.Call {
        point.idle(while: 0, until: deadline, patience: &patience)
    }

    func call() {
        point.word.store(1, ordering: .releasing)
        point.wake(1)
    }
}
