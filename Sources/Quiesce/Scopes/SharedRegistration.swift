// SPDX-License-Identifier: Apache-2.0

import Substrate

extension ResourceScope {
    /// Registers something that calls into another object, so that it ends with the one that ends
    /// first: `end` is called once, at the end of this scope or of the other's.
    ///
    /// Both wait until it is over, and what is registered so calls into nothing that is gone.
    ///
    /// - Returns: the registration, as a resource of this scope: releasing it ends it in both.
    /// - Throws: what `begin` throws; `.closed` when one of the scopes takes no more, and then
    ///   `end` has been called.
    @discardableResult
    public func register<Other: ScopeLifetime>(
        _ name: String, callingInto other: ResourceScope<Other>, _ begin: () throws -> Void,
        unregister end: @escaping @Sendable () throws -> Void
    ) throws -> ResourceID {
        try engine.releasingOnFailure(name, begin)
        let registration = SharedRegistration(name, end)
        let (here, there) = (SharedEnd(registration), SharedEnd(registration))
        here.pair(with: { [weak other] in other?.discard(there) })
        there.pair(with: { [weak self] in self?.discard(here) })
        // From here on this scope may end.
        let resource = try engine.add(name, .value(here), .registrations)
        do {
            _ = try other.engine.add(name, .value(there), .registrations)
        } catch {
            discard(here)
            throw error
        }
        return resource
    }

    private func discard(_ value: SharedEnd) {
        let content = engine.change("remove from") { list in
            list.number(of: value).flatMap { list.remove($0) }
        }
        _ = consume content
    }
}

/// A registration that two scopes have, and one of them ends.
private final class SharedRegistration: Sendable {
    private enum State {
        case pending, running, over
    }

    enum Claim {
        case granted, late, refused
    }

    let name: String
    let end: @Sendable () throws -> Void
    let waiters = Waiters()
    let waitClass = WaitClass(.release)
    private let state = Mutex(State.pending)

    init(_ name: String, _ end: @escaping @Sendable () throws -> Void) {
        self.name = name
        self.end = end
        state.label(name + ".state")
        waiters.label(name)
    }

    /// Asks to be the one that ends it.
    func claim() -> Claim {
        state.withLock { state in
            switch state {
            case .over: return .late
            case .running: return .refused
            case .pending:
                state = .running
                return .granted
            }
        }
    }

    func finish() {
        state.withLock { $0 = .over }
        waiters.wake()
    }
}

/// What one of the two scopes has of a shared registration.
private final class SharedEnd: ScopedValue {
    private let registration: SharedRegistration
    private let isGranted = Unsynchronized(false)
    private let discardOther = Unsynchronized<(@Sendable () -> Void)?>(nil)

    init(_ registration: SharedRegistration) {
        self.registration = registration
        isGranted.label("is granted")
        discardOther.label("pair")
    }

    func pair(with discard: @escaping @Sendable () -> Void) { discardOther.store(discard) }

    /// Waits until the registration is this end's to end, or is over.
    func drain(until deadline: WorldClock.Instant?) throws(QuiesceError) {
        let ending = registration.waiters.wait(
            for: registration.waitClass.of(registration), registration.name, until: deadline,
            looksFirst: true, { isSettled() })
        if ending != nil { throw failure }
    }

    func drain(until deadline: WorldClock.Instant?) async throws {
        if let ending = await registration.waiters.wait(
            for: registration.waitClass.of(registration), registration.name, until: deadline,
            looksFirst: true, { isSettled() })
        {
            throw ending.error(failure)
        }
    }

    private var failure: QuiesceError { .timedOut(of: registration.name, occupants: []) }

    private func isSettled() -> Bool {
        switch registration.claim() {
        case .refused: return false
        case .late: return true
        case .granted:
            isGranted.store(true)
            return true
        }
    }

    func finish() throws {
        guard isGranted.load() else { return }
        defer {
            registration.finish()
            discardOther.load()?()
        }
        try registration.waitClass.of(registration).section(registration.name) {
            try registration.end()
        }
    }
}
