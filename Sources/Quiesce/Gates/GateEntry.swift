// SPDX-License-Identifier: Apache-2.0

public import Substrate

extension Gate {
    /// Being inside a gate, from which it cannot be taken out: it is neither copied nor kept.
    ///
    /// Leaving happens when it goes out of scope.
    @safe
    @frozen
    public struct Entry: ~Copyable, ~Escapable {
        // The scope that the entry cannot leave keeps the gate.
        @usableFromInline let reference: Unmanaged<Gate>
        @usableFromInline let slot: Int32
        @usableFromInline let ticket: EntryTicket?

        @inlinable
        @_lifetime(immortal)
        init(gate: Gate, slot: Int32, ticket: EntryTicket?) {
            unsafe reference = .passUnretained(gate)
            self.slot = slot
            self.ticket = ticket
        }

        @inlinable
        deinit {
            if let ticket {
                unsafe reference._withUnsafeGuaranteedRef { $0.leave(ticket) }
            } else {
                unsafe reference._withUnsafeGuaranteedRef { $0.leave(slot) }
            }
        }

        /// The gate that this is inside of.
        public var gate: Gate { unsafe reference.takeUnretainedValue() }

        @inlinable
        func isInside(_ gate: Gate) -> Bool {
            unsafe reference._withUnsafeGuaranteedRef { $0 === gate }
        }

        /// Leaves the gate here, before the scope ends. Whoever waits for it need not wait for the rest of the scope.
        @inlinable
        public consuming func leave() {}

        /// Closes the gate from inside and waits until everybody else has left; returns the entry to the one who closes.
        ///
        /// Of several who do this one wins, and goes on inside a closed gate. The others get nil: their entries are over, and
        /// it is returned once the winner has left, so that its whole operation is behind them. Kernel counterpart:
        /// `kernfs_remove_self`.
        ///
        /// - Throws: `.inside` when the caller has entered the gate more than once; `.timedOut`. The entry is over then.
        @available(*, noasync, message: "it would block a thread of the cooperative pool; await the other spelling")
        @_lifetime(copy self)
        public consuming func closeFromInside(until deadline: Clock.Instant? = nil) throws(GateError) -> Entry? {
            if try gate.closeFromInside(self, until: deadline) { return self }
            return nil
        }

        /// Closes the gate from inside, as the blocking spelling.
        @_lifetime(copy self)
        public consuming func closeFromInside(
            until deadline: Clock.Instant? = nil
        ) async throws(GateError) -> Entry? {
            if try await gate.closeFromInside(self, until: deadline) { return self }
            return nil
        }
    }
}

/// An entry that counts in the gate itself: one that is held across an `await`, or that found no free slot.
@usableFromInline
final class EntryTicket: Sendable {
    /// The entries of the running task.
    @TaskLocal static var current: [EntryTicket] = []

    let gate: Gate
    /// The thread that has it; 0 when a task does.
    let thread: UInt32
    let name: String
    let since: Clock.Instant
    private let fate = Atomic(Fate.counts)

    private enum Fate {
        static let counts: UInt32 = 0
        static let hidden: UInt32 = 1
        static let over: UInt32 = 2
    }

    init(_ gate: Gate, thread: UInt32, name: String) {
        self.gate = gate
        self.thread = thread
        self.name = name
        since = Clock.now()
        fate.label("entry of \(name)")
    }

    /// Whether it is hidden from those who close.
    var isHidden: Bool { fate.load(ordering: .acquiring) == Fate.hidden }

    /// Whether it has not been left. A task that was started inside keeps it in its task-locals after that.
    var isActive: Bool { fate.load(ordering: .acquiring) != Fate.over }

    func hide() { fate.store(Fate.hidden, ordering: .releasing) }
    func reveal() { fate.store(Fate.counts, ordering: .releasing) }

    /// Ends it, and says whether it was hidden.
    func end() -> Bool { fate.exchange(Fate.over, ordering: .acquiringAndReleasing) == Fate.hidden }

    func occupant(at now: Clock.Instant) -> GateError.Occupant {
        GateError.Occupant(name: name, since: since, duration: now - since, isExact: true)
    }
}

extension Gate {
    @_lifetime(immortal)
    func enterCounted() -> Entry? {
        let thread = World.currentThread
        let ticket = EntryTicket(self, thread: thread, name: "thread " + World.name(ofThread: thread))
        guard admit(ticket) else { return nil }
        waitClass.begin()
        return Entry(gate: self, slot: -1, ticket: ticket)
    }

    /// Counts an entry, unless the gate is closing.
    private func admit(_ ticket: EntryTicket) -> Bool {
        var found = state.load(ordering: .relaxed)
        while true {
            if found & State.closing != 0 { return false }
            let (isExchanged, now) = state.compareExchange(
                expected: found, desired: found + State.entry, ordering: .acquiring)
            if isExchanged { break }
            found = now
        }
        tickets.withLock { $0[ObjectIdentifier(ticket)] = ticket }
        return true
    }

    @usableFromInline
    func leave(_ ticket: EntryTicket) {
        // A task's entry is no section of a thread.
        if ticket.thread != 0 { waitClass.end() }
        tickets.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(ticket)) }
        let amount = ticket.end() ? 0 : State.entry
        let found = state.wrappingSubtract(amount, ordering: .sequentiallyConsistent).newValue
        if found & State.closing != 0 { waiters.wake() }
    }

    /// Calls `body` inside the gate, where it may suspend. Returns nil, without calling it, when the gate is closing.
    ///
    /// The entry counts in the gate itself, since the task may go on on another thread. It is known by a task-local value, so
    /// that the task, and its children, are told when they close the gate from inside. A task that `body` starts and does not await
    /// (`Task { }`) has the value too, as long as the entry lasts: it cannot close the gate in that time.
    public func withTaskEntry<Result, Failure: Error>(
        _ body: (borrowing Entry) async throws(Failure) -> Result
    ) async throws(Failure) -> Result? {
        try await withTaskOwnedEntry { entry async throws(Failure) in try await body(entry) }
    }

    /// As `withTaskEntry`, where `body` owns the entry and can end it early: by `leave()`, or by `closeFromInside()`.
    public func withTaskOwnedEntry<Result, Failure: Error>(
        _ body: (consuming Entry) async throws(Failure) -> Result
    ) async throws(Failure) -> Result? {
        let ticket = EntryTicket(self, thread: 0, name: Task.name.map { "task \"\($0)\"" } ?? "a task without a name")
        guard admit(ticket) else { return nil }
        let tickets = EntryTicket.current.filter(\.isActive) + [ticket]
        return try await EntryTicket.$current.withValue(tickets) { () async -> Swift.Result<Result, Failure> in
            let entry = Entry(gate: self, slot: -1, ticket: ticket)
            do throws(Failure) { return .success(try await body(entry)) } catch { return .failure(error) }
        }.get()
    }
}
