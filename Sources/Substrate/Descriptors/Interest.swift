// SPDX-License-Identifier: Apache-2.0

/// That somebody wants to be called when a descriptor is ready.
///
/// One call of it runs at a time: readiness that comes meanwhile has it called once more, by the
/// thread that is calling. It lasts until it is cancelled, also when nobody keeps it; one that does
/// not repeat, until it is called.
public final class Interest: Sendable {
    /// The number that it is about; -1 for a simulated descriptor.
    let descriptor: Int32
    let wants: DescriptorReadiness
    let repeats: Bool
    private let keeper: any InterestKeeper
    private let onReady: @Sendable () -> Void
    private let state = WaitPoint()

    /// From the low end: three bits, and the thread that runs the call.
    private enum State {
        /// No call starts any more.
        static let over: UInt32 = 1
        /// It became ready while the call ran.
        static let again: UInt32 = 2
        /// Somebody waits for the end of the call.
        static let awaited: UInt32 = 4
        static let runnerShift: UInt32 = 3

        static func runner(_ state: UInt32) -> UInt32 { state >> runnerShift }
    }

    init(
        _ keeper: any InterestKeeper, descriptor: Int32 = -1, wants: DescriptorReadiness,
        repeats: Bool,
        onReady: @escaping @Sendable () -> Void
    ) {
        self.descriptor = descriptor
        self.keeper = keeper
        self.wants = wants
        self.repeats = repeats
        self.onReady = onReady
        state.label("interest")
    }

    /// Whether a descriptor that is ready for `readiness` is what is waited for.
    func matches(_ readiness: DescriptorReadiness) -> Bool {
        !readiness.isDisjoint(with: wants.union(.error))
    }

    /// Whether it belonged to the process that this one was forked from, and will never be called
    /// here.
    public var isAbandoned: Bool { keeper.isAbandoned }

    // MARK: Calling

    /// Calls, unless it is over.
    func ready() {
        let mine = World.currentThread << State.runnerShift
        var found: UInt32 = 0
        while true {
            if found & State.over != 0 { return }
            let isRunning = State.runner(found) != 0
            let desired = isRunning ? found | State.again : repeats ? mine : mine | State.over
            let (isMine, now) = state.word.compareExchange(
                expected: found, desired: desired, ordering: .acquiringAndReleasing)
            if isMine { return isRunning ? () : run(desired) }
            found = now
        }
    }

    private func run(_ state: UInt32) {
        var found = state
        onReady()
        while true {
            let goesOn = found & (State.again | State.over) == State.again
            let desired = goesOn ? found & ~State.again : found & State.over
            let (isDone, now) = self.state.word.compareExchange(
                expected: found, desired: desired, ordering: .acquiringAndReleasing)
            guard isDone else {
                found = now
                continue
            }
            guard goesOn else { break }
            onReady()
            found = desired
        }
        if found & State.awaited != 0 { self.state.wake() }
    }

    // MARK: Cancelling

    /// Cancels it: no call starts any more. One that runs may still be running when this returns.
    public func withdraw() {
        // The lock of the parent's poller may be held for ever here.
        if keeper.isAbandoned { return }
        keeper.forget(self)
        state.word.bitwiseOr(State.over, ordering: .acquiringAndReleasing)
    }

    /// Cancels it, and waits for a call that runs: after the return no call runs or will run. What
    /// it did happens before.
    ///
    /// From inside the call this returns at once: that call is the last one. The caller holds
    /// nothing that the call waits for.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; withdraw does not wait"
    )
    public func cancel() {
        if keeper.isAbandoned { return }
        withdraw()
        var found = state.word.load(ordering: .acquiring)
        let thread = World.currentThread
        while State.runner(found) != 0 && State.runner(found) != thread {
            if found & State.awaited == 0 {
                let (isAnnounced, now) = state.word.compareExchange(
                    expected: found, desired: found | State.awaited,
                    ordering: .acquiringAndReleasing)
                found = isAnnounced ? found | State.awaited : now
                continue
            }
            state.wait(while: found)
            found = state.word.load(ordering: .acquiring)
        }
    }
}

/// Knows when an interest is to be called.
protocol InterestKeeper: AnyObject, Sendable {
    /// Whether it stayed behind in the process that this one was forked from.
    var isAbandoned: Bool { get }
    /// Calls the interest no more. Forgetting it again does nothing.
    func forget(_ interest: Interest)
}
