// SPDX-License-Identifier: Apache-2.0

public import Substrate

/// A value that can be taken away from its users: after `close()` returns, no code reaches it and
/// it is destroyed.
///
/// Access is by scope, never by handle. Several values may be behind one gate: an entry of the gate
/// reaches all of them without asking again, and the entry is the proof that one need not.
///
///     let registers = Revocable(Registers(mapping))
///     let status = registers.withValue { $0.status }                 // nil once it is revoked
///     device.gate.withEntry { entry in                                // one check …
///         registers.withValue(in: entry) { $0.start() }               // … for as many values as
///         are behind the gate interrupts.withValue(in: entry) { $0.enable() }
///     }
///
/// A noncopyable value cannot be kept beyond the access; a copy of one that can be copied can. So
/// what a value stands for (a mapping, a descriptor) belongs in a noncopyable one.
///
/// Closing the gate itself takes the value away and does not destroy it: `close()` does, or the
/// end of this object.
///
/// Kernel counterparts: `drivers/base/revocable.c`, and `Revocable` of the kernel's Rust library.
public final class Revocable<Value: ~Copyable & Sendable>: Sendable {
    /// The gate that guards the value.
    public let gate: Gate

    @usableFromInline let storage: Unsynchronized<Value?>
    private let fate = Atomic<UInt32>(Fate.alive)
    /// The thread that destroys the value.
    private let destroyer = Atomic<UInt32>(0)
    private let waiters = Waiters()
    private let destructions: WaitClass
    private let release: (@Sendable (consuming Value) throws -> Void)?

    /// A value behind `gate`, or behind a gate of its own.
    ///
    /// - Parameter release: called once with the value, when it has been taken away; nil where the
    ///   value's own end suffices.
    public init(
        _ value: consuming Value, gate: Gate? = nil, file: StaticString = #filePath,
        line: UInt = #line, release: (@Sendable (consuming Value) throws -> Void)? = nil
    ) {
        self.release = release
        self.gate = gate ?? Gate(name: "\(Value.self)", file: file, line: line)
        destructions = WaitClass(.destruction, file: file, line: line)
        storage = Unsynchronized(value)
        storage.label("value")
        fate.label("fate")
        destroyer.label("destroyer")
        waiters.label("revocation")
    }

    deinit {
        guard let release, fate.load(ordering: .acquiring) == Fate.alive,
            let value = storage.withValue({ $0.take() })
        else { return }
        do { try release(value) } catch {
            warn("\(gate.name): the release of a value that nobody closed threw an error: \(error)")
        }
    }

    /// Whether nobody new reaches the value.
    public var isClosing: Bool { gate.isClosing }

    /// Calls `body` with the value. Returns nil, without calling it, when the value is revoked.
    @inlinable
    @inline(__always)
    public func withValue<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Value) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        try gate.withEntry(file: file, line: line) { entry throws(Failure) in
            try withValue(in: entry, file: file, line: line, body)
        }
    }

    /// Calls `body` with the value, which is there as long as `entry` lasts.
    ///
    /// - Parameter entry: an entry of this value's gate; that of another one traps.
    @inlinable
    @inline(__always)
    public func withValue<Result: ~Copyable, Failure: Error>(
        in entry: borrowing Gate.Entry, file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard entry.isInside(gate) else {
            fatalError(
                "a value was reached with an entry of another gate than the one that guards it")
        }
        return try storage.withBorrow(file: file, line: line) { value throws(Failure) in
            // Destroyed only behind the gate, which cannot have closed with the entry inside.
            switch value {
            case .some(let value): try body(value)
            case .none: fatalError("a value was destroyed with an entry inside its gate")
            }
        }
    }

    /// Calls `body` with the value, and the value is there until `body` returns, however often it
    /// suspends. Returns nil, without calling it, when the value is revoked.
    ///
    /// `close()` waits for it, and names the task.
    public func withValue<Result, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Value) async throws(Failure) -> Result
    ) async throws(Failure) -> Result? {
        try await gate.withTaskEntry { _ async throws(Failure) in
            try await storage.withBorrow(file: file, line: line) {
                value async throws(Failure) in
                switch value {
                case .some(let value): try await body(value)
                case .none: fatalError("a value was destroyed with an entry inside its gate")
                }
            }
        }
    }

    // MARK: Closing

    /// Refuses new users of the value, waits for those it has, and destroys it. Closing
    /// again waits as well.
    ///
    /// - Returns: whether this call destroyed the value. When it returns, the value is destroyed in
    ///   any case.
    /// - Throws: `QuiesceError`, as closing the gate does: `.inside` also for a value that closes
    ///   itself as it is destroyed; `.releasesFailed` when its release threw an error, and then it
    ///   is destroyed all the same.
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
        try gate.close(until: deadline)
        if try destroyed() { return true }
        if waiters.wait(for: waitClass, destruction, until: deadline, { isDestroyed }) != nil {
            throw failure()
        }
        return false
    }

    /// Refuses new users of the value, waits for those it has, and destroys it, as the
    /// blocking spelling.
    @discardableResult
    public func close(within timeout: Duration? = nil) async throws -> Bool {
        try await close(until: WorldClock.deadline(within: timeout))
    }

    @discardableResult
    package func close(until deadline: WorldClock.Instant?) async throws -> Bool {
        try await gate.close(until: deadline)
        if try destroyed() { return true }
        if let ending = await waiters.wait(
            for: waitClass, destruction, until: deadline, { isDestroyed })
        {
            throw ending.error(failure())
        }
        return false
    }

    private var waitClass: WaitClass { destructions.of(gate) }

    private var destruction: String { "\(gate.name): destruction of \(Value.self)" }

    private var isDestroyed: Bool {
        let found = fate.load(ordering: .sequentiallyConsistent)
        // In a forked child, a value that another thread was destroying is nobody's.
        return found == Fate.destroyed
            || found == Fate.dying && World.hasStayedBehind(destroyer.load(ordering: .relaxed))
    }

    /// Destroys the value if nobody does, and says whether it did. The gate is closed.
    private func destroyed() throws(QuiesceError) -> Bool {
        let thread = World.currentThread
        let isMine = ForkSection.run {
            let (isMine, _) = fate.compareExchange(
                expected: Fate.alive, desired: Fate.dying, ordering: .acquiringAndReleasing)
            if isMine { destroyer.store(thread, ordering: .relaxed) }
            return isMine
        }
        guard isMine else {
            if destroyer.load(ordering: .relaxed) == thread { throw .inside(of: gate.name) }
            return false
        }
        var failure: (any Error)?
        waitClass.section(destruction) {
            guard let release else { return storage.withValue { $0 = nil } }
            guard let value = storage.withValue({ $0.take() }) else { return }
            do { try release(value) } catch { failure = error }
        }
        ForkSection.run {
            destroyer.store(0, ordering: .relaxed)
            fate.store(Fate.destroyed, ordering: .sequentiallyConsistent)
        }
        waiters.wake()
        if let failure {
            throw .releasesFailed(of: gate.name, [ReleaseFailure("\(Value.self)", failure)])
        }
        return true
    }

    private func failure() -> QuiesceError {
        let now = WorldClock.now()
        let thread = World.name(ofThread: destroyer.load(ordering: .relaxed))
        let occupant = Occupant(
            "thread \(thread), destroying the value", since: now, isExact: false, at: now)
        return .timedOut(of: gate.name, occupants: [occupant])
    }
}

/// How far the end of a value is.
private enum Fate {
    static let alive: UInt32 = 0
    static let dying: UInt32 = 1
    static let destroyed: UInt32 = 2
}

extension Revocable: ScopedValue where Value: ~Copyable {
    func drain(until deadline: WorldClock.Instant?) throws(QuiesceError) {
        try gate.close(until: deadline)
    }

    func drain(until deadline: WorldClock.Instant?) async throws {
        try await gate.close(until: deadline)
    }

    func finish() throws { _ = try destroyed() }
}
