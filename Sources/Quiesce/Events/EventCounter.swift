// SPDX-License-Identifier: Apache-2.0

public import Substrate

/// A counter that threads and tasks add to, wait for and take from, and that tells its
/// subscriptions of each signal.
///
/// The semantics are those of `eventfd(2)`, without the descriptor: 64 bits, of which the greatest
/// value means an overflow; a take returns all of it, or 1 at a time as a semaphore. Uncontended, a
/// signal and a take are one atomic update each.
///
/// The counter ends by `close()`: waits end with `.closed` when there is nothing left to take, and
/// each subscription is told once. As `Reference<EventCounter>` it is closed when the last
/// reference is dropped, as an eventfd is with its last descriptor. Subscriptions keep its memory,
/// and do not keep it open.
///
/// What was done before a signal happens before the return of the take that sees it.
///
/// Kernel counterpart: `struct eventfd_ctx`.
public final class EventCounter: ReferenceCounted {
    public let referenceCount = ReferenceCount()

    /// Whether a take returns 1 at a time.
    public let isSemaphore: Bool

    @usableFromInline let count: Atomic<UInt64>
    @usableFromInline let hasNotifiers = Atomic(false)
    private let isHungUp = Atomic(false)
    private let notifiers = Mutex<[Subscription]>([])
    @usableFromInline let takers = Waiters()
    @usableFromInline let adders = Waiters()

    /// The greatest count that can be reached by adding. `signal` alone goes one further, which is
    /// the overflow.
    public static let maximum = UInt64.max - 1

    static let taking = WaitClass(.event)
    static let adding = WaitClass(.room)

    /// - Parameters:
    ///   - initialValue: the count to start with, at most `maximum`.
    ///   - isSemaphore: whether a take returns 1 at a time. Kernel: `EFD_SEMAPHORE`.
    public init(_ initialValue: UInt64 = 0, isSemaphore: Bool = false) {
        precondition(initialValue <= Self.maximum, "an event cannot start with an overflow")
        count = Atomic(initialValue)
        self.isSemaphore = isSemaphore
        referenceCount.label("references")
        count.label("count")
        hasNotifiers.label("has notifiers")
        isHungUp.label("hung up")
        notifiers.label("notifiers")
        takers.label("takers")
        adders.label("adders")
    }

    /// What can be done without waiting. Kernel counterpart: what `poll(2)` says.
    public struct Readiness: OptionSet, Sendable, Hashable {
        public let rawValue: UInt8

        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// There is something to take.
        public static let readable = Readiness(rawValue: 1)
        /// At least 1 can be added.
        public static let writable = Readiness(rawValue: 2)
        /// The count has overflowed.
        public static let overflown = Readiness(rawValue: 4)
        /// The event has hung up.
        public static let closed = Readiness(rawValue: 8)
    }

    /// What can be done without waiting, at this moment.
    public var readiness: Readiness {
        // Ordered behind an attach: a signal before this is seen here, one after it calls the
        // notifier.
        let count = count.load(ordering: .sequentiallyConsistent)
        var result: Readiness = []
        if count > 0 { result.insert(.readable) }
        if count < Self.maximum { result.insert(.writable) }
        if count == UInt64.max { result.insert(.overflown) }
        if isHungUp.load(ordering: .acquiring) { result.insert(.closed) }
        return result
    }

    /// The count at this moment.
    public var value: UInt64 { count.load(ordering: .sequentiallyConsistent) }

    // MARK: Signalling

    /// Adds 1, and tells waiters and subscriptions. Never waits: a full counter overflows, and
    /// stays so until it is taken.
    ///
    /// The callbacks of a subscription run on this thread, or on the thread that is running some of
    /// them already. A signal after the closing still counts. Kernel counterpart: `eventfd_signal`.
    ///
    /// - Throws: `.insideCallback` from inside a callback of any event, and nothing has happened.
    @inlinable
    public func signal() throws(QuiesceError) {
        if CallbackScope.isActive { throw .insideCallback }
        count.operation("signal", writes: true) {
            var found = count.load(ordering: .relaxed)
            while true {
                let (isExchanged, now) = count.compareExchange(
                    expected: found, desired: found == .max ? .max : found &+ 1,
                    ordering: .sequentiallyConsistent)
                if isExchanged { break }
                found = now
            }
        }
        announce(1)
    }

    /// Adds `amount` if there is room for it, and says whether there was. Kernel: a nonblocking
    /// `write(2)`.
    ///
    /// - Throws: `.invalidValue` for the greatest value, `.insideCallback`.
    public func tryAdd(_ amount: UInt64) throws(QuiesceError) -> Bool {
        if CallbackScope.isActive { throw .insideCallback }
        guard amount <= Self.maximum else { throw .invalidValue }
        guard raise(by: amount) else { return false }
        announce(amount)
        return true
    }

    /// Adds `amount`, waiting for room. Kernel: `write(2)`.
    ///
    /// - Throws: `.timedOut`, `.closed` when it is closed while there is no room, and what `tryAdd`
    ///   throws.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func add(_ amount: UInt64, within timeout: Duration? = nil) throws(QuiesceError) {
        try add(amount, until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func add(_ amount: UInt64, until deadline: WorldClock.Instant?) throws(QuiesceError) {
        if try tryAdd(amount) { return }
        if let ending = adders.wait(
            for: Self.adding, "room in an event", until: deadline, { raise(by: amount) })
        {
            throw failure(ending)
        }
        announce(amount)
    }

    /// Adds `amount`, waiting for room, as the blocking spelling.
    public func add(_ amount: UInt64, within timeout: Duration? = nil)
        async throws
    {
        try await add(amount, until: WorldClock.deadline(within: timeout))
    }

    package func add(_ amount: UInt64, until deadline: WorldClock.Instant?)
        async throws
    {
        if try tryAdd(amount) { return }
        if let ending = await adders.wait(
            for: Self.adding, "room in an event", until: deadline, { raise(by: amount) })
        {
            throw ending.error(failure(ending))
        }
        announce(amount)
    }

    private func raise(by amount: UInt64) -> Bool {
        count.operation("add to", writes: true) {
            var found = count.load(ordering: .sequentiallyConsistent)
            while true {
                guard found < UInt64.max - amount else { return false }
                let (isExchanged, now) = count.compareExchange(
                    expected: found, desired: found + amount, ordering: .sequentiallyConsistent)
                if isExchanged { return true }
                found = now
            }
        }
    }

    @inlinable
    @inline(__always)
    func announce(_ amount: UInt64) {
        // One take empties a counter; a semaphore has something for as many as were added.
        takers.wake(isSemaphore ? Int(clamping: amount) : 1)
        if _slowPath(hasNotifiers.load(ordering: .sequentiallyConsistent)) { notify() }
    }

    // MARK: Taking

    /// Takes the count, or 1 of a semaphore. Returns nil when it is 0. Kernel: a nonblocking
    /// `read(2)`.
    @inlinable
    public func tryTake() -> UInt64? {
        let found = count.operation("take from", writes: true) {
            var found = count.load(ordering: .sequentiallyConsistent)
            while found > 0 {
                let rest = isSemaphore ? found &- 1 : 0
                let (isExchanged, now) = count.compareExchange(
                    expected: found, desired: rest, ordering: .sequentiallyConsistent)
                if isExchanged { return found }
                found = now
            }
            return 0
        }
        guard found > 0 else { return nil }
        adders.wake()
        return isSemaphore ? 1 : found
    }

    /// Takes the count, or 1 of a semaphore, waiting until it is not 0. Kernel: `read(2)`.
    ///
    /// - Throws: `.timedOut`; `.closed` when there is nothing to take and the event is closed.
    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    public func take(within timeout: Duration? = nil) throws(QuiesceError) -> UInt64 {
        try take(until: WorldClock.deadline(within: timeout))
    }

    @available(
        *, noasync,
        message: "it would block a thread of the cooperative pool; await the other spelling"
    )
    package func take(until deadline: WorldClock.Instant?) throws(QuiesceError) -> UInt64 {
        var taken = tryTake()
        if let taken { return taken }
        let ending = takers.wait(for: Self.taking, "event", until: deadline) {
            taken = tryTake()
            return taken != nil
        }
        if let ending { throw failure(ending) }
        return taken!
    }

    /// Takes the count, or 1 of a semaphore, waiting until it is not 0, as the blocking spelling.
    ///
    /// - Throws: as the blocking spelling, and `CancellationError`; a cancelled wait has taken
    ///   nothing.
    public func take(within timeout: Duration? = nil) async throws -> UInt64 {
        try await take(until: WorldClock.deadline(within: timeout))
    }

    package func take(until deadline: WorldClock.Instant?) async throws -> UInt64 {
        var taken = tryTake()
        if let taken { return taken }
        let ending = await takers.wait(for: Self.taking, "event", until: deadline) {
            taken = tryTake()
            return taken != nil
        }
        if let ending { throw ending.error(failure(ending)) }
        return taken!
    }

    /// What messages call an event.
    static let what = "the event"

    private func failure(_ ending: Waiter.Ending) -> QuiesceError {
        ending == .closed ? .closed(Self.what) : .timedOut(of: Self.what, occupants: [])
    }

    // MARK: Subscriptions

    /// Calls `onSignal` at each signal from now on, and `onClose` once at the end.
    ///
    /// The event and the subscription keep each other until one of them is closed.
    ///
    /// - Returns: the subscription, which ends the calls. Something may be there to take already:
    ///   look at `readiness`.
    /// - Throws: `.closed` when the event is closed.
    public func subscribe(
        onSignal: @escaping @Sendable (Subscription) -> Void,
        onClose: @escaping @Sendable (Subscription) -> Void = { _ in }
    ) throws(QuiesceError) -> Subscription {
        let notifier = Subscription(self, onSignal: onSignal, onClose: onClose)
        let isAttached = ForkSection.run {
            notifiers.withLock { notifiers in
                if isHungUp.load(ordering: .relaxed) { return false }
                notifiers.append(notifier)
                hasNotifiers.store(true, ordering: .sequentiallyConsistent)
                return true
            }
        }
        guard isAttached else { throw .closed(Self.what) }
        return notifier
    }

    @usableFromInline
    @inline(never)
    func notify() {
        let attached = ForkSection.run { notifiers.withLock { $0 } }
        for notifier in attached { notifier.signalled() }
    }

    func forget(_ notifier: Subscription) {
        ForkSection.run {
            notifiers.withLock { notifiers in
                notifiers.removeAll { $0 === notifier }
                if notifiers.isEmpty {
                    hasNotifiers.store(false, ordering: .sequentiallyConsistent)
                }
            }
        }
    }

    /// Ends the event: waits end, and every subscription is told. Closing again does nothing, and
    /// does not wait for the first closing.
    ///
    /// A subscription is told on this thread, or on the thread that is running its callbacks, and
    /// then perhaps after the return.
    ///
    /// Kernel counterpart: the wake-up with `EPOLLHUP` when the last descriptor is closed.
    public func close() {
        // A forked child of another thread finds it closed altogether, or not at all.
        let told = ForkSection.run {
            let told = notifiers.withLock { notifiers in
                isHungUp.store(true, ordering: .releasing)
                hasNotifiers.store(false, ordering: .sequentiallyConsistent)
                defer { notifiers = [] }
                return notifiers
            }
            takers.close()
            adders.close()
            return told
        }
        for notifier in told { notifier.hungUp() }
    }

    /// Subscriptions keep the counter when it is closed.
    public static var isUsableAfterRelease: Bool { true }

    /// Closes the event: the last reference is gone.
    public func release() { close() }
}
