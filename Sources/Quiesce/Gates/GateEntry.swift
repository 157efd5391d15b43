// SPDX-License-Identifier: Apache-2.0

public import Substrate

extension Gate {
    /// Being inside a gate. It cannot be copied; a borrowed one cannot be kept.
    ///
    /// It is left when its life ends.
    @safe
    @frozen
    public struct Entry: ~Copyable, ~Escapable {
        // Kept by the scope of a borrowed entry, and by the ticket of one that counts.
        @usableFromInline let reference: Unmanaged<Gate>
        @usableFromInline let announcement: Presence.Announcement
        // Of an entry that counts. The entry's own reference, which it gives back when it ends:
        // were it Swift's, the path without a ticket would ask for it.
        @usableFromInline let ticket: Unmanaged<EntryTicket>?

        @inlinable
        @_lifetime(immortal)
        init(gate: Gate, _ announcement: Presence.Announcement) {
            unsafe reference = .passUnretained(gate)
            self.announcement = announcement
            unsafe ticket = nil
        }

        @_lifetime(immortal)
        init(gate: Gate, _ ticket: EntryTicket) {
            unsafe reference = .passUnretained(gate)
            announcement = .watched
            unsafe self.ticket = .passRetained(ticket)
        }

        @inlinable
        deinit {
            unsafe reference._withUnsafeGuaranteedRef { unsafe $0.leave(announcement, ticket) }
        }

        /// The gate that this is inside of.
        public var gate: Gate { unsafe reference.takeUnretainedValue() }

        @inlinable
        func isInside(_ gate: Gate) -> Bool {
            unsafe reference._withUnsafeGuaranteedRef { $0 === gate }
        }

        private var owned: EntryTicket {
            guard let ticket = unsafe ticket else {
                fatalError("an entry that is only borrowed was consumed")
            }
            return unsafe ticket.takeUnretainedValue()
        }

        /// Leaves the gate here, before the scope ends. A closer need not wait for the
        /// rest of the scope.
        @inlinable
        public consuming func leave() {}

        /// Closes the gate from inside and waits until all other entries have left; returns the
        /// entry to the caller that closes.
        ///
        /// Of several callers one wins, and goes on inside a closed gate. The others get nil:
        /// their entries are over, and the call returns once the winner has left, so that its whole
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
        public consuming func closeFromInside(until deadline: WorldClock.Instant? = nil)
            throws(QuiesceError) -> Entry?
        {
            if try gate.closeFromInside(owned, until: deadline) { return self }
            return nil
        }

        /// Closes the gate from inside, as the blocking spelling.
        ///
        /// - Throws: as the blocking spelling, and `CancellationError`. The entry is over then.
        @_lifetime(copy self)
        public consuming func closeFromInside(
            until deadline: WorldClock.Instant? = nil
        ) async throws -> Entry? {
            if try await gate.closeFromInside(owned, until: deadline) { return self }
            return nil
        }
    }
}

/// An entry that counts in the gate itself: one that is owned, or held across an `await`, or that
/// found no free slot.
@usableFromInline
final class EntryTicket: Sendable, Linked {
    /// The entries of the running task.
    @TaskLocal static var current: [EntryTicket] = []

    // Keeps the gate for as long as the entry may last.
    let gate: Gate
    /// The thread that called `withEntry` or `withOwnedEntry`, until the call returns or the thread
    /// ends the entry; 0 after that, and when a task called. That thread alone changes it.
    ///
    /// An owned entry can outlive the call, and then nobody knows which thread has it: no thread
    /// counts as inside on its account.
    let thread: Atomic<UInt32>
    private let isOfTask: Bool
    private let taskName: String?
    /// The task whose section it is; 0 while no observer watches.
    let task: UInt
    let since: WorldClock.Instant
    // Its place among the gate's.
    let links = Unsynchronized(Links<EntryTicket>())
    /// The thread and the task that entered, for a forked child.
    private let entered: (thread: UInt32, task: UInt)
    private let role = Atomic(Role.counts.rawValue)

    /// What the entry is to the closers.
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
        entered = (thread, thread == 0 ? World.currentTask : 0)
        self.thread = Atomic(thread)
        isOfTask = thread == 0
        self.taskName = taskName
        since = WorldClock.now()
        role.label("entry")
        self.thread.label("entry.thread")
        links.label("entry.links")
    }

    /// The running thread's call returns, or the thread ends the entry. Says whether it did neither
    /// before.
    func isReleased() -> Bool {
        let found = thread.load(ordering: .relaxed)
        guard found != 0, found == World.currentThread else { return false }
        thread.store(0, ordering: .relaxed)
        return true
    }

    /// Whether it is an entry of this thread, or of this task.
    func belongs(to thread: UInt32, _ task: UInt) -> Bool {
        isOfTask ? entered.task == task && task != 0 : entered.thread == thread
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
        let thread = thread.load(ordering: .relaxed)
        if thread != 0 { return "thread " + World.name(ofThread: thread) }
        guard isOfTask else { return "an owned entry that outlived its scope" }
        return taskName.map { "task \"\($0)\"" } ?? "a task without a name"
    }

    func occupant(at now: WorldClock.Instant) -> Occupant {
        Occupant(name, since: since, isExact: true, at: now)
    }
}

extension Gate {
    /// Enters for a thread whose slots are taken, or that wants to own its entry.
    @_lifetime(immortal)
    func enterCounted() -> Entry? {
        guard let ticket = admitThread() else { return nil }
        return Entry(gate: self, ticket)
    }

    /// Counts an entry of the running thread, and returns what it counts by; nil when the gate is
    /// closing.
    private func admitThread() -> EntryTicket? {
        let ticket = EntryTicket(self, thread: World.currentThread)
        guard admit(ticket) else { return nil }
        waitClass.begin(name)
        return ticket
    }

    /// Counts an entry, unless the gate is closing.
    private func admit(_ ticket: EntryTicket) -> Bool {
        checkFork()
        // The order of such entries shows in what is said of those inside.
        return state.operation("enter", writes: true) {
            if isClosing { return false }
            return ForkSection.run {
                // Before it counts, so that a closer that finds it inside finds its name.
                tickets.withLock { $0.append(ticket) }
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
    }

    func leave(_ ticket: EntryTicket) {
        endSection(of: ticket)
        // A task's entry is no section of a thread.
        waitClass.end(ofTask: ticket.task, name)
        checkFork()
        let found = state.operation("leave", writes: true) {
            ForkSection.run {
                let found = state.wrappingSubtract(ticket.end(), ordering: .sequentiallyConsistent)
                    .newValue
                // In a forked child, one that stayed behind was taken out before.
                tickets.withLock { if ticket.links.load().isInLine { $0.remove(ticket) } }
                return found
            }
        }
        if found & State.closing != 0 { waiters.wake() }
    }

    /// Ends the section of the running thread on account of an entry, unless that was done. An
    /// entry that ends on another thread leaves the section to the call that began it.
    private func endSection(of ticket: EntryTicket) {
        if ticket.isReleased() { waitClass.end(name) }
    }

    /// As `withEntry`, where `body` owns the entry and can end it early: by `leave()`, or by
    /// `closeFromInside()`.
    ///
    /// Name the entry: one that has no name ends at once. It counts in the gate itself, for some
    /// hundred nanoseconds: should it outlive `body`, or end on another thread, the gate waits for
    /// it all the same. Until `body` returns, the thread counts as inside. An entry that outlives
    /// `body` may be on any thread, and so no thread that closes the gate is told that it waits for
    /// itself. Kernel counterpart: `kernfs_break_active_protection`, whose caller must remember
    /// that nothing is protected afterwards; here it no longer has the proof.
    public func withOwnedEntry<Result: ~Copyable, Failure: Error>(
        _ body: (consuming Entry) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard let ticket = admitThread() else { return nil }
        defer { endSection(of: ticket) }
        return try body(Entry(gate: self, ticket))
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
            let entry = Entry(gate: self, ticket)
            do throws(Failure) { return .success(try await body(entry)) } catch {
                return .failure(error)
            }
        }.get()
    }
}
