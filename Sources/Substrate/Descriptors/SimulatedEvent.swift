// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// The counter behind an event descriptor that is explored: what the kernel does, in the sight of
/// an observer.
///
/// A thread that changes the counter calls its waiters after it has released the lock.
final class SimulatedEvent: Sendable, InterestKeeper {
    private let isSemaphore: Bool
    private let state: Mutex<State>

    struct State: Sendable {
        var count: UInt64
        var interests: [Interest] = []

        var readiness: DescriptorReadiness {
            (count > 0 ? DescriptorReadiness.readable : []).union(
                count < UInt64.max - 1 ? .writable : [])
        }

        /// Those to call now that something became possible; interests that wanted one call end.
        mutating func takeReady(for change: DescriptorReadiness) -> [Interest] {
            let now = readiness.intersection(change)
            let ready = interests.filter { $0.matches(now) }
            if !ready.isEmpty { interests.removeAll { !$0.repeats && $0.matches(now) } }
            return ready
        }
    }

    init(initialValue: UInt32, isSemaphore: Bool) {
        self.isSemaphore = isSemaphore
        state = Mutex(State(count: UInt64(initialValue)))
        state.label("event")
    }

    var readiness: DescriptorReadiness { state.withLock { $0.readiness } }

    func write(bytes: Int, value: UInt64) -> IOTransfer {
        guard bytes == 8, value != .max else { return .failed(quiesce_error_invalid) }
        let ready: [Interest]? = state.withLock { state in
            guard UInt64.max - state.count > value else { return nil }
            state.count += value
            return state.takeReady(for: .readable)
        }
        guard let ready else { return .failed(quiesce_error_again) }
        for interest in ready { interest.ready() }
        return .bytes(8, value: value)
    }

    func read(bytes: Int) -> IOTransfer {
        guard bytes >= 8 else { return .failed(quiesce_error_invalid) }
        let (value, ready): (UInt64, [Interest]) = state.withLock { state in
            let value = isSemaphore ? min(state.count, 1) : state.count
            state.count -= value
            return (value, value == 0 ? [] : state.takeReady(for: .writable))
        }
        guard value > 0 else { return .failed(quiesce_error_again) }
        for interest in ready { interest.ready() }
        return .bytes(8, value: value)
    }

    func wait(
        for wants: DescriptorReadiness, repeats: Bool, onReady: @escaping @Sendable () -> Void
    ) -> Interest {
        let interest = Interest(self, wants: wants, repeats: repeats, onReady: onReady)
        let isReady = state.withLock { state in
            let isReady = interest.matches(state.readiness)
            if repeats || !isReady { state.interests.append(interest) }
            return isReady
        }
        if isReady { interest.ready() }
        return interest
    }

    var isAbandoned: Bool { false }

    func forget(_ interest: Interest) {
        state.withLock { $0.interests.removeAll { $0 === interest } }
    }
}
