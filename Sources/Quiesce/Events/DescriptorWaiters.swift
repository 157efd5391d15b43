// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The threads and tasks that wait at one side of an event descriptor, in one line, and the
/// interest that wakes them.
///
/// The interest is there from the first waiter that finds nothing to do until the last one leaves.
/// It tells changes only, so a waiter joins the line and tries before it looks whether the interest
/// is there: what it did not find comes after that, and wakes it. All waiters are woken, as the
/// kernel does with its readers; those for which there is nothing left wait on.
final class DescriptorWaiters: Sendable {
    private let descriptor: EventDescriptor
    private let gate: Gate
    private let wants: DescriptorReadiness
    private let waitClass: WaitClass
    private let name: String
    private let waiters = Waiters()
    private let interest = Mutex<Interest?>(nil)

    /// - Parameter gate: guards the descriptor's number.
    init(
        _ descriptor: EventDescriptor, behind gate: Gate, for wants: DescriptorReadiness,
        _ waitClass: WaitClass, name: String
    ) {
        self.descriptor = descriptor
        self.gate = gate
        self.wants = wants
        self.waitClass = waitClass
        self.name = name
        waiters.label(name)
        interest.label(name + ".interest")
    }

    /// Tries `attempt` until it does not return nil. Blocks this thread meanwhile.
    func wait(
        until deadline: WorldClock.Instant?, _ attempt: () throws(QuiesceError) -> UInt64?
    ) throws(QuiesceError) -> UInt64 {
        var outcome: Result<UInt64, QuiesceError>?
        let ending = waiters.wait(for: waitClass, name, until: deadline) {
            isOver(&outcome, attempt)
        }
        return try finish(ending, outcome)
    }

    /// Tries `attempt` until it does not return nil. Suspends this task meanwhile.
    func wait(
        until deadline: WorldClock.Instant?, _ attempt: () throws(QuiesceError) -> UInt64?
    ) async throws -> UInt64 {
        var outcome: Result<UInt64, QuiesceError>?
        let ending = await waiters.wait(for: waitClass, name, until: deadline) {
            isOver(&outcome, attempt)
        }
        if ending == .cancelled {
            disarm()
            throw CancellationError()
        }
        return try finish(ending, outcome)
    }

    private func isOver(
        _ outcome: inout Result<UInt64, QuiesceError>?,
        _ attempt: () throws(QuiesceError) -> UInt64?
    ) -> Bool {
        do throws(QuiesceError) {
            guard let value = try attempt() else {
                try arm()
                return false
            }
            outcome = .success(value)
        } catch {
            outcome = .failure(error)
        }
        return true
    }

    private func finish(_ ending: Waiter.Ending?, _ outcome: Result<UInt64, QuiesceError>?)
        throws(QuiesceError) -> UInt64
    {
        disarm()
        switch ending {
        case nil: return try outcome!.get()
        case .closed: throw .closed(EventCounter.what)
        default: throw .timedOut(of: EventCounter.what, occupants: [])
        }
    }

    // MARK: The interest

    private func arm() throws(QuiesceError) {
        let armed: Result<Void, QuiesceError>? = gate.withEntry { _ in
            ForkSection.run {
                interest.withLock { interest in
                    // One that a fork left behind in the parent calls nobody here.
                    if let interest, !interest.isAbandoned { return .success(()) }
                    do throws(DescriptorError) {
                        interest = try descriptor.whenReady(for: wants, repeats: true) { [self] in
                            waiters.wake()
                        }
                        return .success(())
                    } catch {
                        return .failure(QuiesceError(error))
                    }
                }
            }
        }
        guard let armed else { throw .closed(EventCounter.what) }
        try armed.get()
    }

    /// Takes the interest back when nobody waits any more. A waiter that joins meanwhile finds that
    /// there is none.
    private func disarm() {
        guard isUnused else { return }
        // Behind a closing gate, `close` does it.
        _ = gate.withEntry { _ in
            ForkSection.run {
                interest.withLock { interest in
                    if isUnused { interest.take()?.withdraw() }
                }
            }
        }
    }

    private var isUnused: Bool { waitingCount == 0 }

    /// How many are in the line.
    var waitingCount: Int { waiters.waitingCount }

    /// Whether nobody waits and no interest is left.
    var isIdle: Bool { waitingCount == 0 && interest.withLock { $0 == nil } }

    /// Ends every wait with `.closed`. The gate is closed: no interest will come after this.
    func close() {
        // Under the lock: another closer must not find it taken and not yet withdrawn.
        ForkSection.run { interest.withLock { $0.take()?.withdraw() } }
        waiters.close()
    }
}

extension QuiesceError {
    init(_ error: DescriptorError) {
        switch error {
        case .refused(let number): self = .refused(errorNumber: number)
        }
    }
}
