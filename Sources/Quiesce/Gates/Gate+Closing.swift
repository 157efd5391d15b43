// SPDX-License-Identifier: Apache-2.0

package import Substrate

extension Gate {
    /// Closes the gate and waits until nobody is inside. Closing again waits as well, and returns
    /// once the gate is closed.
    ///
    /// One barrier on every running thread, and a look at one cache line of each thread of the
    /// process; both again whenever somebody leaves meanwhile. What is found out of waiting for
    /// oneself: entries of this thread, of this task and of those that it is a child of. A detached
    /// task or another thread that is awaited inside, and closes, is not; nor is an owned entry
    /// that outlived its scope. Give a deadline.
    ///
    /// Kernel counterparts: `kernfs_drain`, `drm_dev_unplug`, `percpu_ref_kill` and the wait for
    /// its release.
    ///
    /// - Parameter timeout: how long to wait at most; nil for as long as it takes. Afterwards the
    ///   gate stays closing, and another `close` goes on waiting.
    /// - Throws: `.inside` when the caller is inside, and the gate is as before; `.timedOut`, which
    ///   names those inside.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func close(within timeout: Duration? = nil) throws(QuiesceError) {
        try close(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func close(until deadline: WorldClock.Instant?) throws(QuiesceError) {
        guard try beginClosing() else { return }
        let start = deadline.map { _ in WorldClock.now() }
        // Mostly nobody is inside.
        let ending = waiters.wait(
            for: waitClass, name, until: deadline, looksFirst: true, { isEmptied() })
        if ending != nil { throw failure(since: start) }
    }

    /// Closes the gate and waits until nobody is inside, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`; the gate stays closing.
    public func close(within timeout: Duration? = nil) async throws {
        try await close(until: WorldClock.deadline(within: timeout))
    }

    package func close(until deadline: WorldClock.Instant?) async throws {
        guard try beginClosing() else { return }
        let start = deadline.map { _ in WorldClock.now() }
        if let ending = await waiters.wait(
            for: waitClass, name, until: deadline, looksFirst: true, { isEmptied() })
        {
            throw ending.error(failure(since: start))
        }
    }

    // MARK: Several gates

    /// Closes several gates and waits until nobody is inside any of them.
    ///
    /// One barrier for all whose users have left already; the others are waited for one after the
    /// other.
    ///
    /// - Throws: as `close(until:)`. On `.inside` no gate is closing on account of this call.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public static func close(
        _ gates: some Collection<Gate>, within timeout: Duration? = nil
    ) throws(QuiesceError) {
        try close(gates, until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package static func close(
        _ gates: some Collection<Gate>, until deadline: WorldClock.Instant?
    ) throws(QuiesceError) {
        for gate in try stillInUse(gates) { try gate.close(until: deadline) }
    }

    /// Closes several gates and waits until nobody is inside any of them, as the blocking spelling.
    public static func close(
        _ gates: some Collection<Gate>, within timeout: Duration? = nil
    ) async throws {
        try await close(gates, until: WorldClock.deadline(within: timeout))
    }

    package static func close(
        _ gates: some Collection<Gate>, until deadline: WorldClock.Instant?
    ) async throws {
        for gate in try stillInUse(gates) { try await gate.close(until: deadline) }
    }

    /// Begins the closing of all, and returns those that somebody is inside.
    private static func stillInUse(_ gates: some Collection<Gate>) throws(QuiesceError) -> [Gate] {
        for gate in gates where gate.isInside(besides: nil) { throw .inside(of: gate.name) }
        var closing: [Gate] = []
        for gate in gates where try gate.beginClosing() { closing.append(gate) }
        // Every entry that was announced before this is visible after it, and every later one finds
        // its gate closing.
        membarrier()  // for all
        return closing.filter { !$0.isEmptied(behindBarrier: true) }
    }

    // MARK: In two steps

    /// Refuses new entries and returns at once: the first half of `close()`, which waits.
    ///
    /// Use it where the closing of one gate makes the users of another leave: begin all, then close
    /// each. Kernel counterpart: `percpu_ref_kill`.
    ///
    /// - Returns: false when the gate is closed already.
    /// - Throws: `.inside` when the caller is inside, and the gate is as before.
    @discardableResult
    public func beginClosing() throws(QuiesceError) -> Bool {
        if isInside(besides: nil) { throw .inside(of: name) }
        let old = state.bitwiseOr(closingBits, ordering: .sequentiallyConsistent).oldValue
        if old & State.closing == 0 { tell() }
        return old & State.closed == 0
    }

    private var closingBits: UInt64 {
        whenClosing == nil ? State.closing | State.told : State.closing
    }

    /// Calls `whenClosing`, as the first closer.
    private func tell() {
        guard let whenClosing else { return }
        teller.store(World.currentThread, ordering: .relaxed)
        whenClosing()
        teller.store(0, ordering: .relaxed)
        state.bitwiseOr(State.told, ordering: .sequentiallyConsistent)
        waiters.wake()
    }

    /// Whether the running thread or task is inside, so that it cannot close the gate.
    package var isAroundCaller: Bool { isInside(besides: nil) }

    /// Whether the running thread or task is inside, with another entry than `own`; or is what the
    /// closing waits for.
    private func isInside(besides own: EntryTicket?) -> Bool {
        state.operation("look into", writes: false) { isFoundInside(besides: own) }
    }

    private func isFoundInside(besides own: EntryTicket?) -> Bool {
        checkFork()
        if Presence.isInside(key) { return true }
        let found = state.load(ordering: .relaxed)
        if whenClosing != nil, found & (State.closing | State.told) == State.closing,
            teller.load(ordering: .relaxed) == World.currentThread
        {
            return true
        }
        guard found >= State.entry || found & (State.claimed | State.losers) != 0 else {
            return false
        }
        if EntryTicket.current.contains(where: { $0.gate === self && $0.isActive && $0 !== own }) {
            return true
        }
        let thread = World.currentThread
        return ForkSection.run {
            tickets.withLock { tickets in
                tickets.contains { $0.thread.load(ordering: .relaxed) == thread && $0 !== own }
            }
        }
    }

    /// Whether nobody is inside; if so, the gate is closed from here on.
    private func isEmptied(behindBarrier isBehindBarrier: Bool = false) -> Bool {
        state.operation("look who is in", writes: true) {
            while true {
                let found = state.load(ordering: .sequentiallyConsistent)
                if found & State.closed != 0 { return true }
                guard found < State.entry, found & State.told != 0 else { return false }
                // A closer from inside has not finished; or it has given up, and one that came
                // second has to take its place.
                let isClaimed = found & State.claimed != 0
                if isClaimed ? found & State.revealed == 0 : found & State.losers != 0 {
                    return false
                }
                if isAnyoneInSlots(behindBarrier: isBehindBarrier) { return false }
                if state.compareExchange(
                    expected: found, desired: found | State.closed,
                    ordering: .sequentiallyConsistent
                ).exchanged {
                    return true
                }
            }
        }
    }

    /// Whether a thread is inside. The gate is closing.
    private func isAnyoneInSlots(behindBarrier isBehindBarrier: Bool = false) -> Bool {
        // Every entry that was announced before this is visible after it, and every later one finds
        // the gate closing. So is every leave, or else it finds the caller waiting.
        if !isBehindBarrier { membarrier() }
        return Presence.isAnyoneInside(key)
    }

    private func failure(since start: WorldClock.Instant?) -> QuiesceError {
        let now = WorldClock.now()
        return .timedOut(of: name, occupants: occupants(from: start ?? now, to: now))
    }

    /// The entries that are inside. A thread's slot does not say since when, and one that is being
    /// refused may be in it for a moment.
    private func occupants(from start: WorldClock.Instant, to now: WorldClock.Instant) -> [Occupant]
    {
        let threads = Presence.threads(inside: key).map {
            Occupant("thread " + World.name(ofThread: $0), since: start, isExact: false, at: now)
        }
        let counted = ForkSection.run { tickets.withLock { Array($0) } }.filter { !$0.isLoser }
        return threads + counted.map { $0.occupant(at: now) }
    }

    // MARK: From inside

    /// Closes as the holder of `ticket`, and says whether it won; returns false when somebody else
    /// has won and left.
    func closeFromInside(_ ticket: EntryTicket, until deadline: WorldClock.Instant?)
        throws(QuiesceError)
        -> Bool
    {
        var isWinner = try claim(ticket)
        let start = deadline.map { _ in WorldClock.now() }
        let ending = waiters.wait(for: waitClass, name, until: deadline) {
            isDone(ticket, &isWinner)
        }
        return try settle(ticket, isWinner, ending, start)
    }

    func closeFromInside(_ ticket: EntryTicket, until deadline: WorldClock.Instant?)
        async throws -> Bool
    {
        var isWinner = try claim(ticket)
        let start = deadline.map { _ in WorldClock.now() }
        let ending = await waiters.wait(for: waitClass, name, until: deadline) {
            isDone(ticket, &isWinner)
        }
        // The entry ends when this is thrown; a winner's leave gives the claim back.
        if ending == .cancelled { throw CancellationError() }
        return try settle(ticket, isWinner, ending, start)
    }

    /// Takes the caller's entry out of those that count, and says whether it is the one that
    /// closes.
    private func claim(_ ticket: EntryTicket) throws(QuiesceError) -> Bool {
        if isInside(besides: ticket) { throw .inside(of: name) }
        var found = state.load(ordering: .relaxed)
        while true {
            let isWinner = found & State.claimed == 0
            let role = isWinner ? State.claimed : State.loser
            let isExchanged = ForkSection.run {
                let (isExchanged, now) = state.compareExchange(
                    expected: found, desired: (found | closingBits) - State.entry + role,
                    ordering: .sequentiallyConsistent)
                if isExchanged { ticket.become(isWinner ? .winner : .loser) } else { found = now }
                return isExchanged
            }
            guard isExchanged else { continue }
            if found & State.closing == 0 { tell() }
            waiters.wake()
            return isWinner
        }
    }

    /// Whether the winner is alone, or the gate is closed. A loser takes the place of a winner that
    /// has given up.
    private func isDone(_ ticket: EntryTicket, _ isWinner: inout Bool) -> Bool {
        while true {
            let found = state.load(ordering: .sequentiallyConsistent)
            if isWinner {
                return found < State.entry && found & State.told != 0 && !isAnyoneInSlots()
            }
            if found & (State.claimed | State.closed) != 0 { return isEmptied() }
            isWinner = ForkSection.run {
                let isMine = state.compareExchange(
                    expected: found, desired: found - State.loser + State.claimed,
                    ordering: .sequentiallyConsistent
                ).exchanged
                if isMine { ticket.become(.winner) }
                return isMine
            }
        }
    }

    private func settle(
        _ ticket: EntryTicket, _ isWinner: Bool, _ ending: Waiter.Ending?,
        _ start: WorldClock.Instant?
    ) throws(QuiesceError) -> Bool {
        // The entry ends when this is thrown; a winner's leave gives the claim back.
        guard ending == nil else { throw failure(since: start) }
        guard isWinner else { return false }
        ForkSection.run {
            ticket.become(.counts)
            state.wrappingAdd(State.entry + State.revealed, ordering: .sequentiallyConsistent)
        }
        return true
    }
}
