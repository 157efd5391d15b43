// SPDX-License-Identifier: Apache-2.0

public import Substrate

/// A way in that can be closed for good: after `close()` returns, nobody enters and nobody is inside.
///
/// Entering and leaving is wait-free and writes nothing that threads share: a plain store to a slot of the thread's own, and a load.
/// Whoever closes pays for that with a barrier on every running thread (`membarrier(2)`) and a look at every thread's slots.
/// Where the system refuses that barrier, every entry issues a fence of its own.
///
///     let gate = Gate(name: "camera")
///     let frame = gate.withEntry { _ in camera.read() }   // nil once the gate is closing
///     try gate.close()                                     // waits for those inside
///
/// What was done inside happens before `close()` returns.
///
/// Kernel counterparts: the active reference of a kernfs node, `drm_dev_enter`, a character device's queued mode, and
/// `percpu_ref` for the way it counts.
public final class Gate: Sendable {
    /// What messages and traces call it.
    public let name: String

    @usableFromInline let state = Atomic<UInt32>(0)
    let tickets: Mutex<[ObjectIdentifier: EntryTicket]> = Mutex([:])
    let waiters = Waiters()
    private let whenClosing: (@Sendable () -> Void)?

    /// - Parameters:
    ///   - name: what messages and traces call it.
    ///   - whenClosing: called once, by the first who closes, when nobody can enter any more and before it waits: the place to wake
    ///     those who sleep inside.
    public init(name: String = "gate", whenClosing: (@Sendable () -> Void)? = nil) {
        self.name = name
        self.whenClosing = whenClosing
        state.label(name)
        tickets.label(name + ".tickets")
        waiters.label(name)
    }

    /// Whether nobody can enter any more; some may still be inside. Acquires.
    public var isClosing: Bool { state.load(ordering: .acquiring) & State.closing != 0 }

    /// Whether a `close` has seen that nobody is inside any more. Acquires: what was done inside happens before.
    public var isClosed: Bool { state.load(ordering: .acquiring) & State.closed != 0 }

    @usableFromInline
    enum State {
        /// Nobody enters any more.
        @usableFromInline static let closing: UInt32 = 1
        /// Nobody is inside any more.
        static let closed: UInt32 = 2
        /// Somebody inside closes, and has hidden its own entry to wait for the others.
        static let claimed: UInt32 = 4
        /// Its entry counts again: the others have left.
        static let revealed: UInt32 = 8
        /// One entry that counts here. Above it they are counted, but for those that are hidden.
        static let entry: UInt32 = 16
    }

    @usableFromInline var key: UInt { UInt(bitPattern: ObjectIdentifier(self)) }
    @usableFromInline var waitClass: WaitClass { WaitClass(name) }

    // MARK: Entering

    /// Calls `body` inside the gate. Returns nil, without calling it, when the gate is closing.
    ///
    /// The entry that `body` is given proves that it is inside: `Revocable.withValue(in:)` asks for it. It cannot be
    /// kept. `body` may enter this gate again, or others. To hold an entry across an `await`, use `withTaskEntry`.
    @inlinable
    @inline(__always)
    public func withEntry<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Entry) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard let entry = enter(file, line) else { return nil }
        return try body(entry)
    }

    /// As `withEntry`, where `body` owns the entry and can end it early: by `leave()`, or by `closeFromInside()`.
    ///
    /// Name the entry: one that has no name ends at once. Kernel counterpart: `kernfs_break_active_protection`, whose
    /// caller must remember that nothing is protected afterwards; here it no longer has the proof.
    @inlinable
    public func withOwnedEntry<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (consuming Entry) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard let entry = enter(file, line) else { return nil }
        return try body(entry)
    }

    @inlinable
    @inline(__always)
    @_lifetime(immortal)
    func enter(_ file: StaticString, _ line: UInt) -> Entry? {
        let slot = Presence.enter(
            key, unless: state, has: State.closing, section: waitClass, file: file, line: line)
        if _fastPath(slot >= 0) { return Entry(gate: self, slot: slot, ticket: nil) }
        return enterSlow(slot)
    }

    @usableFromInline
    @inline(never)
    @_lifetime(immortal)
    func enterSlow(_ slot: Int32) -> Entry? {
        if slot == Presence.noSlot { return enterCounted() }
        // Whoever closes may have seen the announcement.
        wakeClosers()
        return nil
    }

    @inlinable
    @inline(__always)
    func leave(_ slot: Int32) {
        // Whoever closes after the look at the state looks at the slot behind its barrier; whoever closed before is woken.
        if _slowPath(Presence.leave(slot, andTellWhether: state, has: State.closing, section: waitClass)) {
            wakeClosers()
        }
    }

    @usableFromInline
    @inline(never)
    func wakeClosers() { waiters.wake() }
}

extension Gate: CustomStringConvertible {
    public var description: String { name }
}

// MARK: - Closing

extension Gate {
    /// Closes the gate and waits until nobody is inside. Closing again waits as well, and returns once the gate is closed.
    ///
    /// - Parameter deadline: when to give up waiting. The gate stays closing; another `close` goes on.
    /// - Throws: `.inside` when the caller is inside, and the gate is as before; `.timedOut`, which names those inside.
    @available(*, noasync, message: "it would block a thread of the cooperative pool; await the other spelling")
    public func close(until deadline: Clock.Instant? = nil) throws(GateError) {
        // Mostly nobody is inside.
        guard try beginClosing(), !isEmptied() else { return }
        let start = deadline.map { _ in Clock.now() }
        if let ending = waiters.wait(for: waitClass, until: deadline, { isEmptied() }) {
            throw failure(ending, since: start)
        }
    }

    /// Closes the gate and waits until nobody is inside. Closing again waits as well, and returns once the gate is closed.
    ///
    /// - Parameter deadline: when to give up waiting. The gate stays closing; another `close` goes on.
    /// - Throws: as the blocking spelling, and `.cancelled` when the task is cancelled; the gate stays closing.
    public func close(until deadline: Clock.Instant? = nil) async throws(GateError) {
        // Mostly nobody is inside.
        guard try beginClosing(), !isEmptied() else { return }
        let start = deadline.map { _ in Clock.now() }
        if let ending = await waiters.wait(for: waitClass, until: deadline, { isEmptied() }) {
            throw failure(ending, since: start)
        }
    }

    /// Lets nobody in any more. False when the gate is closed already.
    private func beginClosing() throws(GateError) -> Bool {
        if isInside { throw .inside(gate: name) }
        return stopEntries(State.closing) & State.closed == 0
    }

    /// Lets nobody in any more, and returns the state before.
    private func stopEntries(_ bits: UInt32) -> UInt32 {
        let old = state.bitwiseOr(bits, ordering: .sequentiallyConsistent).oldValue
        if old & State.closing == 0 { whenClosing?() }
        return old
    }

    /// Whether the running thread or task is inside.
    private var isInside: Bool {
        if Presence.isInside(key) { return true }
        guard state.load(ordering: .relaxed) >= State.entry else { return false }
        if EntryTicket.current.contains(where: { $0.gate === self && $0.isActive }) { return true }
        let thread = World.currentThread
        return tickets.withLock { $0.values.contains { $0.thread == thread } }
    }

    /// Whether nobody is inside; if so, the gate is closed from here on.
    private func isEmptied() -> Bool {
        while true {
            let found = state.load(ordering: .acquiring)
            if found & State.closed != 0 { return true }
            if found >= State.entry || found & (State.claimed | State.revealed) == State.claimed { return false }
            if isAnyoneInSlots { return false }
            // Fails when somebody inside has hidden itself to close: then the look at the slots says nothing.
            if state.compareExchange(
                expected: found, desired: found | State.closed, ordering: .acquiringAndReleasing
            ).exchanged {
                return true
            }
        }
    }

    /// Whether a thread is inside whose entry is not hidden. The gate is closing.
    private var isAnyoneInSlots: Bool {
        // Every entry that was announced before this is visible after it, and every later one finds the gate closing. So is every
        // leave, or else it finds the caller waiting.
        membarrier()
        return Presence.isAnyoneInside(key)
    }

    private func failure(_ ending: Waiter.Ending, since start: Clock.Instant?) -> GateError {
        if ending == .cancelled { return .cancelled(gate: name) }
        let now = Clock.now()
        return .timedOut(gate: name, occupants(from: start ?? now, to: now))
    }

    /// Who is inside. A thread's slot does not say since when: it was there at `start`.
    private func occupants(from start: Clock.Instant, to now: Clock.Instant) -> [GateError.Occupant] {
        let threads = Presence.threads(inside: key).map {
            GateError.Occupant(
                name: "thread " + World.name(ofThread: $0), since: start, duration: now - start, isExact: false)
        }
        let counted = tickets.withLock { Array($0.values) }.filter { !$0.isHidden }.map { $0.occupant(at: now) }
        return threads + counted.sorted { $0.since < $1.since }
    }

    // MARK: From inside

    /// What the one who closes from inside does; the others wait until it is all over.
    func closeFromInside(_ entry: borrowing Entry, until deadline: Clock.Instant?) throws(GateError) -> Bool {
        guard let isWinner = try claim(entry) else { return false }
        let start = deadline.map { _ in Clock.now() }
        let ending = waiters.wait(for: waitClass, until: deadline) { isWinner ? isAlone() : isEmptied() }
        return try settle(entry, isWinner, ending, start)
    }

    func closeFromInside(_ entry: borrowing Entry, until deadline: Clock.Instant?) async throws(GateError) -> Bool {
        guard let isWinner = try claim(entry) else { return false }
        let start = deadline.map { _ in Clock.now() }
        let ending = await waiters.wait(for: waitClass, until: deadline) { isWinner ? isAlone() : isEmptied() }
        return try settle(entry, isWinner, ending, start)
    }

    /// Whether every other entry is over or hidden.
    private func isAlone() -> Bool {
        state.load(ordering: .sequentiallyConsistent) < State.entry && !isAnyoneInSlots
    }

    /// Hides the caller's entry and says whether it is the one who closes; nil when the gate is closed.
    private func claim(_ entry: borrowing Entry) throws(GateError) -> Bool? {
        guard ownEntries == 1 else { throw .inside(gate: name) }
        // Before the entry is hidden: whoever finds nobody inside finds the claim.
        let old = stopEntries(State.closing | State.claimed)
        hide(entry)
        waiters.wake()
        return old & State.claimed == 0
    }

    private func settle(
        _ entry: borrowing Entry, _ isWinner: Bool, _ ending: Waiter.Ending?, _ start: Clock.Instant?
    ) throws(GateError) -> Bool {
        guard isWinner else {
            if let ending { throw failure(ending, since: start) }
            return false
        }
        if let ending {
            // Its entry ends when this is thrown. Somebody else may close.
            state.bitwiseAnd(~State.claimed, ordering: .acquiringAndReleasing)
            throw failure(ending, since: start)
        }
        reveal(entry)
        state.bitwiseOr(State.revealed, ordering: .acquiringAndReleasing)
        return true
    }

    /// How many entries the running thread or task has.
    private var ownEntries: Int {
        let thread = World.currentThread
        var counted = 0
        if state.load(ordering: .relaxed) >= State.entry {
            counted = tickets.withLock { tickets in
                tickets.values.count { ticket in
                    ticket.thread == thread || EntryTicket.current.contains { $0 === ticket }
                }
            }
        }
        return Presence.count(key) + counted
    }

    private func hide(_ entry: borrowing Entry) {
        if let ticket = entry.ticket {
            ticket.hide()
            state.wrappingSubtract(State.entry, ordering: .acquiringAndReleasing)
        } else {
            Presence.hide(key)
        }
    }

    private func reveal(_ entry: borrowing Entry) {
        if let ticket = entry.ticket {
            ticket.reveal()
            state.wrappingAdd(State.entry, ordering: .acquiringAndReleasing)
        } else {
            Presence.reveal(key)
        }
    }
}
