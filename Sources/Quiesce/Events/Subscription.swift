// SPDX-License-Identifier: Apache-2.0

package import Substrate

/// A client's callbacks at an event: one for each signal, and one for the closing of the event.
///
/// - **After `close()` returned no callback runs or will run.** Every `close()` waits for a
///   callback that is running.
/// - One callback of a subscription runs at a time. A signal that comes meanwhile does not wait:
///   its callback follows on the thread that is running one.
/// - The callback for the closing of the event is the last; after it the subscription is closed.
///   One atomic bit decides whether a `close()` of the subscription or that of the event comes
///   first.
/// - From inside its own callback, `close()` returns at once: the running callback is the last
///   one.
/// - A callback may block, subscribe and close subscriptions. It cannot signal: that is refused
///   with `QuiesceError.insideCallback`. Two callbacks that close each other's subscriptions wait
///   for each other; a deadline tells.
///
/// The subscription keeps the event's memory, and the event keeps an open subscription. When the
/// subscription is closed and its last callback is over, the thread that ran that callback releases
/// the callbacks and what they hold.
///
/// Kernel counterparts: `eventfd_notifier` of the text it comes from, and a KVM irqfd.
public final class Subscription: Sendable {
    private let counter: EventCounter
    private let callbacks: Unsynchronized<Callbacks?>
    private let state = Atomic<UInt64>(State.active)
    private let waiters = Waiters()

    struct Callbacks: Sendable {
        let onSignal: @Sendable (Subscription) -> Void
        let onClose: @Sendable (Subscription) -> Void
    }

    /// From the low end: two bits, the signals whose callbacks have not started, and the thread
    /// that runs callbacks.
    private enum State {
        /// Callbacks may start. The thread that clears it, for a close of the subscription or of
        /// the event, decides which of the two it was.
        static let active: UInt64 = 1
        /// The event has hung up, and its callback has not started.
        static let hangUp: UInt64 = 2
        static let signal: UInt64 = 4
        static let signals: UInt64 = 0xffff_fffc
        static let runnerShift: UInt64 = 32

        /// The thread that runs callbacks; 0 when none does, and in a forked child of another
        /// thread.
        static func runner(_ state: UInt64) -> UInt32 {
            let number = UInt32(state >> runnerShift)
            return number != 0 && World.hasStayedBehind(number) ? 0 : number
        }
    }

    static let detaching = WaitClass(.callback)
    private static let name = "a notifier's callback"

    init(
        _ counter: EventCounter, onSignal: @escaping @Sendable (Subscription) -> Void,
        onClose: @escaping @Sendable (Subscription) -> Void
    ) {
        self.counter = counter
        callbacks = Unsynchronized(Callbacks(onSignal: onSignal, onClose: onClose))
        callbacks.label("callbacks")
        state.label("notifier")
        waiters.label("detaching")
    }

    /// Whether callbacks may start.
    public var isOpen: Bool { state.load(ordering: .acquiring) & State.active != 0 }

    // MARK: Calling

    func signalled() { post(adding: State.signal) }

    func hungUp() { post(adding: State.hangUp) }

    /// Adds something to do, and does it unless somebody is doing such things.
    private func post(adding what: UInt64) {
        var found = state.load(ordering: .relaxed)
        while true {
            guard found & State.active != 0 else { return }
            guard what != State.signal || found & State.signals != State.signals else {
                fatalError(
                    "2^30 signals wait for a callback that does not return; a subscription counts no more"
                )
            }
            var desired = found + what
            let isIdle = State.runner(found) == 0
            if isIdle {
                let others = desired & (State.active | State.hangUp | State.signals)
                desired = others | UInt64(World.currentThread) << State.runnerShift
            }
            let (isExchanged, now) = state.compareExchange(
                expected: found, desired: desired, ordering: .acquiringAndReleasing)
            if isExchanged {
                if isIdle { run(desired) }
                return
            }
            found = now
        }
    }

    /// Runs callbacks until there is nothing to do or the subscription is closed.
    private func run(_ state: UInt64) {
        var found = state
        while found & State.active != 0 {
            let (next, callback) = nextStep(found)
            // The callback starts only if the subscription is still open.
            let (isExchanged, now) = self.state.compareExchange(
                expected: found, desired: next, ordering: .acquiringAndReleasing)
            if isExchanged {
                guard let callback else { return }
                call(callback)
                found = self.state.load(ordering: .acquiring)
            } else {
                found = now
            }
        }
        finish()
    }

    private enum Callback {
        case signal, hangUp
    }

    /// What is to be done in `state`, and the state in which it is being done.
    private func nextStep(_ state: UInt64) -> (UInt64, Callback?) {
        if state & State.signals != 0 { return (state - State.signal, .signal) }
        if state & State.hangUp != 0 { return (state & ~(State.hangUp | State.active), .hangUp) }
        // Nothing: nobody runs callbacks from here on.
        return (State.active, nil)
    }

    private func call(_ callback: Callback) {
        guard let callbacks = callbacks.load() else { return }
        Self.detaching.of(self).section(Self.name) {
            CallbackScope.run {
                switch callback {
                case .signal: callbacks.onSignal(self)
                case .hangUp: callbacks.onClose(self)
                }
            }
        }
    }

    /// The last callback is over and no other will start.
    private func finish() {
        callbacks.store(nil)
        state.store(0, ordering: .sequentiallyConsistent)
        waiters.wake()
    }

    // MARK: Closing

    /// Ends the callbacks, and waits for one that is running, unless it is called from inside that
    /// one.
    ///
    /// - Returns: whether this call ended them; false when an earlier one or the event did.
    /// - Throws: `.timedOut`, which names the thread that runs the callback. The subscription
    ///   is closing, and another `close()` goes on waiting.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    public func close(within timeout: Duration? = nil) throws(QuiesceError) -> Bool {
        try close(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    @discardableResult
    package func close(until deadline: WorldClock.Instant?) throws(QuiesceError) -> Bool {
        let isMine = deactivate()
        if isInside || isQuiet { return isMine }
        let start = deadline.map { _ in WorldClock.now() }
        let ending = waiters.wait(
            for: Self.detaching.of(self), Self.name, until: deadline, { isQuiet })
        if ending != nil {
            throw failure(since: start)
        }
        return isMine
    }

    /// Ends the callbacks, and waits for one that is running, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`; they have ended all the same.
    @discardableResult
    public func close(within timeout: Duration? = nil) async throws -> Bool {
        try await close(until: WorldClock.deadline(within: timeout))
    }

    @discardableResult
    package func close(until deadline: WorldClock.Instant?) async throws -> Bool {
        let isMine = deactivate()
        if isInside || isQuiet { return isMine }
        let start = deadline.map { _ in WorldClock.now() }
        if let ending = await waiters.wait(
            for: Self.detaching.of(self), Self.name, until: deadline, { isQuiet })
        {
            throw ending.error(failure(since: start))
        }
        return isMine
    }

    /// Ends the callbacks, waits for one that is running, and takes what the counter holds.
    ///
    /// A signal between the two is in what is returned and called nobody back. Kernel counterpart:
    /// `eventfd_ctx_remove_wait_queue`, which does both under one lock.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func closeAndTake(within timeout: Duration? = nil) throws(QuiesceError)
        -> UInt64?
    {
        try closeAndTake(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func closeAndTake(until deadline: WorldClock.Instant?) throws(QuiesceError)
        -> UInt64?
    {
        try close(until: deadline)
        return counter.tryTake()
    }

    /// Ends the callbacks, waits for one that is running, and takes what the counter holds, as
    /// the blocking spelling.
    public func closeAndTake(within timeout: Duration? = nil) async throws
        -> UInt64?
    {
        try await closeAndTake(until: WorldClock.deadline(within: timeout))
    }

    package func closeAndTake(until deadline: WorldClock.Instant?) async throws
        -> UInt64?
    {
        try await close(until: deadline)
        return counter.tryTake()
    }

    private func deactivate() -> Bool {
        let found = state.bitwiseAnd(~State.active, ordering: .acquiringAndReleasing).oldValue
        guard found & State.active != 0 else { return false }
        counter.forget(self)
        // No thread runs callbacks or ever will: this one may touch them last.
        if State.runner(found) == 0 { callbacks.store(nil) }
        return true
    }

    /// Whether the caller is the callback that is running, or the end of what it held.
    private var isInside: Bool {
        State.runner(state.load(ordering: .relaxed)) == World.currentThread
    }

    private var isQuiet: Bool { State.runner(state.load(ordering: .sequentiallyConsistent)) == 0 }

    /// - Parameter start: when the wait began; nil for one without a deadline.
    private func failure(since start: WorldClock.Instant?) -> QuiesceError {
        let thread = State.runner(state.load(ordering: .relaxed))
        guard thread != 0 else { return .timedOut(of: Self.name, occupants: []) }
        let now = WorldClock.now()
        let occupant = Occupant(
            "thread " + World.name(ofThread: thread), since: start ?? now, isExact: false, at: now)
        return .timedOut(of: Self.name, occupants: [occupant])
    }
}
