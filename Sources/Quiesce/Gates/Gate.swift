// SPDX-License-Identifier: Apache-2.0

public import Substrate

/// A way in that can be closed for good: after `close()` returns, nobody enters and nobody is
/// inside.
///
/// Entering and leaving is wait-free and writes nothing that threads share: a plain store to a slot
/// of the thread's own, and a load. Closing pays for that with a barrier on every running
/// thread (`membarrier(2)`) and a look at every thread's slots. Where the system refuses that
/// barrier, every entry issues a fence of its own.
///
///     let gate = Gate(name: "camera")
///     let frame = gate.withEntry { _ in camera.read() }   // nil once the gate is closing
///     try gate.close()                                     // waits for those inside
///
/// What was done inside happens before `close()` returns.
///
/// In a forked child the thread that forked, and the task that it runs, are inside of what they
/// were inside of; nobody else is. See <doc:Forking>.
///
/// Kernel counterparts: the active reference of a kernfs node, `drm_dev_enter`, a character
/// device's queued mode, and `percpu_ref` for the way it counts.
public final class Gate: Sendable {
    /// What messages and traces call it.
    public let name: String

    @usableFromInline let state = Atomic<UInt64>(0)
    /// The entries that count here, for a report of what is inside.
    let tickets = Mutex(LinkedList<EntryTicket>())
    let waiters = Waiters()
    private let witness = ForkWitness()
    let whenClosing: (@Sendable () -> Void)?
    private let gates: WaitClass
    /// The thread that runs `whenClosing`; 0 while none does.
    let teller = Atomic<UInt32>(0)

    /// - Parameters:
    ///   - name: what messages and traces call it.
    ///   - whenClosing: the first closer calls it once, when nothing can enter any more and before
    ///     it waits: the place to wake what sleeps inside. It is over before any `close` returns.
    public init(
        name: String = "gate", file: StaticString = #filePath, line: UInt = #line,
        whenClosing: (@Sendable () -> Void)? = nil
    ) {
        self.name = name
        gates = WaitClass(.gate, file: file, line: line)
        self.whenClosing = whenClosing
        state.label(name) {
            tickets.label(name + ".tickets")
            teller.label(name + ".teller")
        }
        waiters.label(name)
    }

    /// Whether nobody can enter any more; some may still be inside. Acquires.
    public var isClosing: Bool { state.load(ordering: .acquiring) & State.closing != 0 }

    /// Whether a `close` has seen that nobody is inside any more. Acquires: what was done inside
    /// happens before.
    public var isClosed: Bool { state.load(ordering: .acquiring) & State.closed != 0 }

    @usableFromInline
    enum State {
        /// Nobody enters any more.
        @usableFromInline static let closing: UInt64 = 1
        /// Nobody is inside any more.
        static let closed: UInt64 = 2
        /// `whenClosing` is over.
        static let told: UInt64 = 4
        /// Somebody inside closes. Its entry is not among those that count, until the others have
        /// left.
        static let claimed: UInt64 = 8
        /// Its entry counts again.
        static let revealed: UInt64 = 16
        /// One that wanted to close from inside and came second. Its entry is over; it waits.
        static let loser: UInt64 = 32
        static let losers: UInt64 = 0xffff_ffe0
        /// One entry that counts here and not in a slot.
        static let entry: UInt64 = 1 << 32
    }

    /// The class of its entries and of the waits for them.
    @usableFromInline var waitClass: WaitClass { gates.of(key) }

    @usableFromInline var key: UInt { UInt(bitPattern: ObjectIdentifier(self)) }

    // MARK: Entering

    /// Calls `body` inside the gate. Returns nil, without calling it, when the gate is closing.
    ///
    /// The entry that `body` is given proves that it is inside: `Revocable.withValue(in:)` asks for
    /// it. It cannot be kept. `body` may enter this gate again, or others. To hold an entry across
    /// an `await`, use `withTaskEntry`.
    @inlinable
    @inline(__always)
    public func withEntry<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Entry) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard let entry = enter(file, line) else { return nil }
        return try body(entry)
    }

    @inlinable
    @inline(__always)
    @_lifetime(immortal)
    func enter(_ file: StaticString, _ line: UInt) -> Entry? {
        let entrance = Presence.enter(
            key, unless: state, has: State.closing, section: waitClass, name, file: file, line: line
        )
        if case .announced(let announcement) = entrance {
            return Entry(gate: self, announcement)
        }
        return enterSlow(entrance)
    }

    @usableFromInline
    @inline(never)
    @_lifetime(immortal)
    func enterSlow(_ entrance: Presence.Entrance) -> Entry? {
        switch entrance {
        case .noSlot: return enterCounted()
        // A closer may have seen the announcement, and sleep until it is over.
        case .withdrawn: wakeClosers()
        // Nobody has seen anything of this one.
        case .refused, .announced: break
        }
        return nil
    }

    @inlinable
    @inline(__always)
    func leave(_ announcement: Presence.Announcement, _ ticket: Unmanaged<EntryTicket>?) {
        guard _fastPath(announcement.isPlain) else { return unsafe leaveSlow(ticket) }
        withdraw(announcement)
    }

    @inlinable
    @inline(__always)
    func withdraw(_ announcement: Presence.Announcement) {
        // A closer that comes after the look at the state looks at the slot behind its barrier; one
        // that closed before is woken.
        if _slowPath(
            Presence.leave(
                announcement, of: key, andTellWhether: state, has: State.closing,
                section: waitClass, name))
        {
            wakeClosers()
        }
    }

    @usableFromInline
    @inline(never)
    func leaveSlow(_ ticket: Unmanaged<EntryTicket>?) {
        guard let ticket = unsafe ticket else { return withdraw(.watched) }
        unsafe leave(ticket.takeRetainedValue())
    }

    @usableFromInline
    @inline(never)
    func wakeClosers() { waiters.wake() }
}

extension Gate {
    /// Ends, in a forked child, the entries of those that stayed behind, which count here; and what
    /// the closing waits for, where one of them was about to do it.
    func checkFork() {
        witness.afterFork {
            let (thread, task) = World.survivor
            let gone = tickets.withLock { tickets in
                let gone = tickets.filter { !$0.belongs(to: thread, task) }
                for ticket in gone { tickets.remove(ticket) }
                return gone
            }
            for ticket in gone {
                state.wrappingSubtract(ticket.end(), ordering: .sequentiallyConsistent)
            }
            let found = state.load(ordering: .relaxed)
            let teller = teller.load(ordering: .relaxed)
            if found & State.closing != 0, teller == 0 || teller != thread {
                state.bitwiseOr(State.told, ordering: .sequentiallyConsistent)
            }
        }
    }
}

extension Gate: CustomStringConvertible {
    public var description: String { name }
}
