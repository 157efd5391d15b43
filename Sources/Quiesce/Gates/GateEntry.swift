// SPDX-License-Identifier: Apache-2.0

public import Substrate

extension Gate {
    /// Being inside a gate. It cannot be copied; a borrowed one cannot be kept.
    ///
    /// It is left when its life ends.
    @safe
    @frozen
    public struct Entry: ~Copyable, ~Escapable {
        // Kept by the scope of a borrowed entry, and by the ticket of an owned one.
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

        private var owned: EntryTicket {
            guard let ticket else { fatalError("an entry that is only borrowed was consumed") }
            return ticket
        }

        /// Leaves the gate here, before the scope ends. Whoever waits for it need not wait for the
        /// rest of the scope.
        @inlinable
        public consuming func leave() {}

        /// Closes the gate from inside and waits until everybody else has left; returns the entry
        /// to the one who closes.
        ///
        /// Of several who do this one wins, and goes on inside a closed gate. The others get nil:
        /// their entries are over, and it is returned once the winner has left, so that its whole
        /// operation is behind them. Kernel counterpart: `kernfs_remove_self`.
        ///
        /// When the winner gives up, one of the others takes its place. `whenClosing` runs first,
        /// if nobody has closed yet.
        ///
        /// - Throws: `.inside` when the caller has entered the gate more than once; `.timedOut`.
        ///   The entry is over then.
        @available(
            *, noasync,
            message: "it would block a thread of the cooperative pool; await the other spelling"
        )
        @_lifetime(copy self)
        public consuming func closeFromInside(until deadline: Clock.Instant? = nil)
            throws(GateError) -> Entry?
        {
            if try gate.closeFromInside(owned, until: deadline) { return self }
            return nil
        }

        /// Closes the gate from inside, as the blocking spelling.
        ///
        /// - Throws: as the blocking spelling, and `.cancelled`. The entry is over then.
        @_lifetime(copy self)
        public consuming func closeFromInside(
            until deadline: Clock.Instant? = nil
        ) async throws(GateError) -> Entry? {
            if try await gate.closeFromInside(owned, until: deadline) { return self }
            return nil
        }
    }
}

/// An entry that counts in the gate itself: one that is owned, or held across an `await`, or that
/// found no free slot.
@usableFromInline
final class EntryTicket: Sendable {
    /// The entries of the running task.
    @TaskLocal static var current: [EntryTicket] = []

    // Keeps the gate for as long as the entry may last.
    let gate: Gate
    /// The thread that has it; 0 when a task does.
    let thread: UInt32
    private let taskName: String?
    /// The task whose section it is; 0 while no observer watches.
    let task: UInt
    let since: Clock.Instant
    /// Its number among the gate's, which the lock of the tickets protects.
    let number = Unsynchronized<UInt64>(0)
    private let role = Atomic(Role.counts.rawValue)

    /// What the entry is to those who close.
    enum Role: UInt32 {
        case counts
        /// It closes from inside, and waits for the others.
        case winner
        /// It wanted to, and came second.
        case loser
        /// It was left.
        case over
    }

    init(_ gate: Gate, thread: UInt32, taskName: String? = nil, task: UInt = 0) {
        self.task = task
        self.gate = gate
        self.thread = thread
        self.taskName = taskName
        since = Clock.now()
        role.label("entry")
        number.label("entry.number")
    }

    func become(_ new: Role) { role.store(new.rawValue, ordering: .releasing) }

    var isLoser: Bool { role.load(ordering: .acquiring) == Role.loser.rawValue }

    /// Whether it has not been left. A task that was started inside keeps it in its task-locals
    /// after that.
    var isActive: Bool { role.load(ordering: .acquiring) != Role.over.rawValue }

    /// Ends it, and returns what it counts for in the state of the gate.
    func end() -> UInt64 {
        switch Role(rawValue: role.exchange(Role.over.rawValue, ordering: .acquiringAndReleasing)) {
        case .counts: Gate.State.entry
        case .winner: Gate.State.claimed
        case .loser: Gate.State.loser
        case .over, nil: 0
        }
    }

    private var name: String {
        if thread != 0 { return "thread " + World.name(ofThread: thread) }
        return taskName.map { "task \"\($0)\"" } ?? "a task without a name"
    }

    func occupant(at now: Clock.Instant) -> Occupant {
        Occupant(name, since: since, isExact: true, at: now)
    }
}

/// The entries that count in a gate, for those who ask who is inside.
struct EntryTickets {
    private(set) var open: [UInt64: EntryTicket] = [:]
    private var next: UInt64 = 0

    mutating func add(_ ticket: EntryTicket) {
        ticket.number.store(next)
        open[next] = ticket
        next += 1
    }

    mutating func remove(_ ticket: EntryTicket) { open[ticket.number.load()] = nil }
}

extension Gate {
    /// Enters for a thread whose slots are taken, or that wants to own its entry.
    @_lifetime(immortal)
    func enterCounted() -> Entry? {
        let ticket = EntryTicket(self, thread: World.currentThread)
        guard admit(ticket) else { return nil }
        waitClass.begin(name)
        return Entry(gate: self, slot: -1, ticket: ticket)
    }

    /// Counts an entry, unless the gate is closing.
    private func admit(_ ticket: EntryTicket) -> Bool {
        // The order of such entries shows in what is said of those inside.
        state.operation("enter", writes: true) {
            if isClosing { return false }
            // Before it counts: whoever finds it inside finds out who it is.
            tickets.withLock { $0.add(ticket) }
            var found = state.load(ordering: .relaxed)
            while found & State.closing == 0 {
                let (isExchanged, now) = state.compareExchange(
                    expected: found, desired: found + State.entry, ordering: .acquiring)
                if isExchanged { return true }
                found = now
            }
            tickets.withLock { $0.remove(ticket) }
            return false
        }
    }

    @usableFromInline
    func leave(_ ticket: EntryTicket) {
        // A task's entry is no section of a thread.
        if ticket.thread != 0 {
            waitClass.end(name)
        } else {
            waitClass.end(ofTask: ticket.task, name)
        }
        let found = state.operation("leave", writes: true) {
            let found = state.wrappingSubtract(ticket.end(), ordering: .sequentiallyConsistent)
                .newValue
            tickets.withLock { $0.remove(ticket) }
            return found
        }
        if found & State.closing != 0 { waiters.wake() }
    }

    /// Calls `body` inside the gate, where it may suspend. Returns nil, without calling it, when
    /// the gate is closing.
    ///
    /// The entry counts in the gate itself, since the task may go on on another thread. It is known
    /// by a task-local value, so that the task, and its children, are told when they close the gate
    /// from inside. A task that `body` starts and does not await (`Task { }`) has the value too, as
    /// long as the entry lasts: it cannot close the gate in that time.
    public func withTaskEntry<Result, Failure: Error>(
        _ body: (borrowing Entry) async throws(Failure) -> Result
    ) async throws(Failure) -> Result? {
        try await withTaskOwnedEntry { entry async throws(Failure) in try await body(entry) }
    }

    /// As `withTaskEntry`, where `body` owns the entry and can end it early: by `leave()`, or by
    /// `closeFromInside()`.
    public func withTaskOwnedEntry<Result, Failure: Error>(
        _ body: (consuming Entry) async throws(Failure) -> Result
    ) async throws(Failure) -> Result? {
        let task = waitClass.beginOfTask(name)
        let ticket = EntryTicket(self, thread: 0, taskName: Task.name, task: task)
        guard admit(ticket) else {
            waitClass.end(ofTask: task, name)
            return nil
        }
        let tickets = EntryTicket.current.filter(\.isActive) + [ticket]
        return try await EntryTicket.$current.withValue(tickets) {
            () async -> Swift.Result<Result, Failure> in
            let entry = Entry(gate: self, slot: -1, ticket: ticket)
            do throws(Failure) { return .success(try await body(entry)) } catch {
                return .failure(error)
            }
        }.get()
    }
}
