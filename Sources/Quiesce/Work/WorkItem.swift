// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What a work queue runs: a function that is called on a worker thread some time after the item
/// was enqueued.
///
/// An item is pending from when it is enqueued until its function starts. Enqueued again meanwhile,
/// it stays as it is, once. From when its function has started the queue never touches it again:
/// the function may let go of the item, which frees it, or enqueue it anew, here or on another
/// queue. On one queue an item never runs beside itself.
///
/// Items have an identity that is not their address: an item at an address where another one ended
/// is a new one.
///
/// Use `Work`, `DelayedWork` or `ObjectWork`. Kernel counterpart: `struct work_struct`.
public class WorkItem: @unchecked Sendable {
    // Unchecked: what changes is atomic, or protected by the locks of the queue that the item is
    // in.

    // What every enqueueing and every run touches comes first, in as few cache lines as may be.

    /// Whether it is pending and where, where it was last, and how often it is disabled. See
    /// `ItemState`.
    let state: Atomic<UInt64>
    /// The number that its queue gave to its last enqueueing, under the queue's locks.
    let ticket = Unsynchronized<UInt64>(0)
    /// What its function is given: a reference's bits, 0 for none. The thread that makes it pending
    /// writes it, and the thread that ends that takes it.
    let payload = Unsynchronized<UInt>(0)
    /// Its identity, from when it is first enqueued; 0 before. Written under the locks of its homes
    /// and of a queue's intake.
    let id = Unsynchronized<UInt64>(0)
    let body: Body
    /// Its runs, which are waited for apart from those of its queue.
    let waitClass: WaitClass
    /// What messages and traces call it.
    public let name: String
    let homes: Mutex<Homes>
    /// Its homes; the state is a word that stands for itself.
    let whole = Subject()
    /// Where it is among the armed timers, under their lock.
    let timer = Unsynchronized(-1)

    enum Body {
        case plain(@Sendable () -> Void)
        case withPayload(@Sendable (UInt) -> Void)
    }

    /// The queues that it may be running on.
    struct Homes {
        /// Where it is pending, or was last.
        var current: WorkQueue?
        /// Where it was before, and may have been running when it moved. Each queue once, and not
        /// the current one.
        var earlier: [Earlier] = []
        var moves: UInt64 = 0
    }

    struct Earlier {
        let queue: WorkQueue
        /// Which move it was: an item may come back.
        let move: UInt64
    }

    init(name: String, _ body: Body, on queue: WorkQueue? = nil, _ site: Site) {
        self.name = name
        self.body = body
        waitClass = WaitClass(.workItem, site)
        state = Atomic(queue.map { ItemState.home(of: $0.number) } ?? 0)
        homes = Mutex(Homes(current: queue))
        state.label(name + ".state")
        ticket.label(name + ".ticket")
        payload.label(name + ".payload")
        id.label(name + ".id")
        timer.label(name + ".timer")
        whole.label(name) { homes.label(name + ".homes") }
    }

    /// Lets go of what the function would have been given.
    func discard(_ payload: UInt) {}

    /// Ends the wait of a timer. False when none runs.
    func hasten() -> Bool { false }

    // MARK: Looking

    /// The item's identity, as tracers see it; nil before it is first enqueued.
    public var identity: WorkID? {
        let id = knownID
        return id == 0 ? nil : WorkID(number: id)
    }

    /// What an item is doing.
    public struct Activity: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// Its function will be called.
        public static let pending = Activity(rawValue: 1)
        /// Its function is running, on the queue where it was enqueued last.
        public static let running = Activity(rawValue: 2)
    }

    /// What the item is doing, at this moment. Kernel: `work_busy`.
    public var activity: Activity {
        var result: Activity = isPending ? .pending : []
        if let home, home.isRunning(self) { result.insert(.running) }
        return result
    }

    /// Whether its function will be called, at this moment. Acquires. Kernel: `work_pending`.
    public var isPending: Bool { ItemState.isPending(state.load(ordering: .acquiring)) }

    /// Whether it is disabled, at this moment. Acquires.
    public var isDisabled: Bool { ItemState.depth(state.load(ordering: .acquiring)) > 0 }

    /// Runs `body` with its homes, which a forked child finds free.
    func withHomes<Result>(_ body: (inout Homes) -> sending Result) -> Result {
        ForkSection.run { homes.withLock { body(&$0) } }
    }

    /// Where it is pending, or was last.
    var home: WorkQueue? { whole.read("look at") { withHomes { $0.current } } }

    // MARK: Becoming pending

    /// Makes the item pending on `queue`, whose intake the caller has locked.
    ///
    /// - Parameters:
    ///   - hasMoved: set where the item was on another queue before.
    ///   - mayMove: whether its homes are locked.
    func claim(
        for queue: WorkQueue, _ numbers: inout Numbers, isArmed: Bool, _ hasMoved: inout Bool,
        mayMove: Bool = false
    ) -> Enqueued {
        var found = state.load(ordering: .relaxed)
        while true {
            if ItemState.depth(found) > 0 { return .disabled }
            let isPending = ItemState.isPending(found)
            if !isPending, !mayMove, ItemState.queue(found) != queue.number {
                return move(to: queue, &numbers, isArmed, &hasMoved)
            }
            // One that is pending is found to be so still: then what the caller did before happens
            // before the function, which starts by a later change of the state. Kernel: the barrier
            // in `set_work_pool_and_clear_pending`.
            let desired = isPending ? found : ItemState.pending(queue.number, isArmed)
            let (isMine, now) = state.compareExchange(
                expected: found, desired: desired, ordering: .acquiringAndReleasing)
            if isMine { return isPending ? .alreadyPending : .queued }
            found = now
        }
    }

    /// As above, where the item was on another queue before, or on none.
    private func move(
        to queue: WorkQueue, _ numbers: inout Numbers, _ isArmed: Bool, _ hasMoved: inout Bool
    ) -> Enqueued {
        whole.write("move") {
            // The lock by its own name, for the test that takes it away where something is written.
            ForkSection.run {
                homes.withLock { homes in
                    let answer = claim(
                        for: queue, &numbers, isArmed: isArmed, &hasMoved, mayMove: true)
                    guard answer == .queued else { return answer }
                    if id.load() == 0 { id.store(numbers.next()) }
                    if let current = homes.current, current !== queue {
                        homes.moves += 1
                        homes.earlier.append(Earlier(queue: current, move: homes.moves))
                        hasMoved = true
                    }
                    homes.earlier.removeAll { $0.queue === queue }
                    homes.current = queue
                    return .queued
                }
            }
        }
    }

    /// Does what is left when somebody has been told what came of enqueueing it. The caller holds
    /// no lock.
    func wasAnswered(_ answer: Enqueued, hasMoved: Bool) {
        if hasMoved { forgetEarlierHomes() }
        // In a forked child, one that was pending before would be so for ever.
        if answer == .alreadyPending { home?.checkGeneration() }
    }

    /// Forgets the queues where it was before and is not running any more.
    private func forgetEarlierHomes() {
        let earlier = whole.read("look at") { withHomes { $0.earlier } }
        for home in earlier where !home.queue.isRunning(self) {
            whole.write("forget a queue of") {
                withHomes { $0.earlier.removeAll { $0.move == home.move } }
            }
        }
    }

    /// Its identity, for callers that do not hold the locks of its queue.
    var knownID: UInt64 { whole.read("look at") { withHomes { _ in id.load() } } }

    // MARK: Cancelling

    /// Makes the item not pending. Does not wait for a function that is running. Kernel:
    /// `cancel_work`.
    ///
    /// A reference that it was enqueued with is dropped. Another thread may enqueue it again at any
    /// time: to end its use, disable it.
    ///
    /// - Returns: whether it was pending.
    @discardableResult
    public func cancel() -> Bool {
        guard let payload = whole.read("cancel", { withdraw(disabling: false).payload }) else {
            return false
        }
        letGo(payload)
        return true
    }

    /// Makes the item not pending, and returns what its function would have been given; nil when it
    /// was not. Disables it by the same change of its state, if that is wanted and can be counted:
    /// nobody finds a disabled item pending.
    func withdraw(disabling: Bool) -> (isCounted: Bool, payload: UInt?) {
        while true {
            let found = state.load(ordering: .acquiring)
            if ItemState.isPending(found) {
                // Else it has moved on between the two looks.
                guard let home, home.number == ItemState.queue(found) else { continue }
                if let payload = home.withdraw(self, disabling: disabling) {
                    return (true, payload)
                }
            } else {
                guard disabling else { return (true, nil) }
                guard ItemState.depth(found) < ItemState.depthLimit else { return (false, nil) }
                let (isCounted, _) = state.compareExchange(
                    expected: found, desired: found + ItemState.oneDisable,
                    ordering: .acquiringAndReleasing)
                if isCounted { return (true, nil) }
            }
        }
    }

    /// Ends the item's being pending, under the lock that it is pending under. So it is not
    /// disabled.
    func endPending(disabling: Bool) {
        let found = state.load(ordering: .relaxed)
        let idle = (found & ItemState.idleMask) + (disabling ? ItemState.oneDisable : 0)
        // A thread that finds it pending exchanges it for the same.
        _ = state.exchange(idle, ordering: .acquiringAndReleasing)
    }

    /// Gives back what the queue kept of an item that is not pending any more.
    func letGo(_ payload: UInt) {
        if payload != 0 { discard(payload) }
        unsafe Unmanaged.passUnretained(self).release()
    }

    /// Refuses every enqueueing from here on, and cancels the item. Does not wait for a
    /// function that is running. Kernel: `disable_work`.
    ///
    /// Nests: it takes as many `enable`s to undo.
    ///
    /// - Returns: whether it was pending.
    @discardableResult
    public func disable(file: StaticString = #filePath, line: UInt = #line) -> Bool {
        disable(file, line).wasPending
    }

    func disable(_ file: StaticString, _ line: UInt) -> (isCounted: Bool, wasPending: Bool) {
        let (isCounted, payload) = whole.read("disable") { withdraw(disabling: true) }
        if !isCounted { Misuse.report(.disabledTooOften, file, line) }
        if let payload { letGo(payload) }
        return (isCounted, payload != nil)
    }

    /// Undoes one `disable`. What was cancelled stays so. Kernel: `enable_work`.
    ///
    /// - Returns: whether the item can be enqueued now.
    @discardableResult
    public func enable(file: StaticString = #filePath, line: UInt = #line) -> Bool {
        let depth: UInt64? = whole.read("enable") {
            var found = state.load(ordering: .relaxed)
            while true {
                guard ItemState.depth(found) > 0 else { return nil }
                let (isUndone, now) = state.compareExchange(
                    expected: found, desired: found - ItemState.oneDisable,
                    ordering: .acquiringAndReleasing)
                if isUndone { return ItemState.depth(found) - 1 }
                found = now
            }
        }
        if depth == nil { Misuse.report(.enabledTooOften, file, line) }
        return (depth ?? 0) == 0
    }
}
