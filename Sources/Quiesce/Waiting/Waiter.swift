// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A thread that is parked, or a task that is suspended.
///
/// The word of its wait point says how its wait ended. The thread that changes it from *waiting*
/// decides that, once.
@safe
final class Waiter: Sendable, Linked {
    /// How a wait ended.
    enum Ending: UInt32 {
        case woken = 2
        case timedOut, cancelled, closed

        /// What an `async` wait throws that ended so.
        func error(_ failure: @autoclosure () -> QuiesceError) -> any Error {
            self == .cancelled ? CancellationError() : failure()
        }
    }

    private static let waiting: UInt32 = 0
    private static let suspended: UInt32 = 1

    private let point = WaitPoint()
    private let continuation = unsafe Unsynchronized<UnsafeContinuation<Void, Never>?>(nil)
    // Its place in the line, which the lock of the line protects.
    let links = Unsynchronized(Links<Waiter>())

    private let generation = World.generation

    /// Whether its condition has forked, and this is the child: the line does not have it.
    var hasStayedBehind: Bool { generation != World.generation }

    init() {
        point.label("waiter")
        unsafe continuation.label("waiter.continuation")
        links.label("waiter.links")
    }

    /// How the wait ended; nil while it lasts.
    var ending: Ending? { Ending(rawValue: point.word.load(ordering: .acquiring)) }

    /// Whether it is in a line, whose lock the caller holds.
    var isInLine: Bool { links.load().isInLine }

    /// Decides how the wait ends, unless that is decided. Says whether it did; then `rouse` must
    /// follow.
    func decide(_ ending: Ending) -> Decision {
        var state = point.word.load(ordering: .relaxed)
        while state == Self.waiting || state == Self.suspended {
            let (isMine, found) = point.word.compareExchange(
                expected: state, desired: ending.rawValue, ordering: .acquiringAndReleasing)
            if isMine { return state == Self.suspended ? .resume : .unpark }
            state = found
        }
        return .late
    }

    enum Decision {
        case late, unpark, resume
    }

    /// Lets the waiter go on, as was decided.
    func rouse(_ decision: Decision) {
        switch decision {
        case .late: return
        case .unpark: point.wake(1)
        case .resume: unsafe continuation.load()?.resume()
        }
    }

    /// A waiter whose wait was ended under a lock, and that is to go on without the lock.
    struct Roused {
        let waiter: Waiter
        let decision: Decision

        func rouse() { waiter.rouse(decision) }
    }

    // MARK: Two spellings

    /// Parks the thread until the wait ends, at the latest at `deadline`.
    ///
    /// - Parameter lingering: how often to look before the system is asked to put the thread to
    ///   sleep.
    func park(until deadline: WorldClock.Instant?, lingering rounds: Int = 0) -> Ending {
        if rounds > 0 { _ = point.linger(while: Self.waiting, rounds: rounds) }
        while true {
            if let ending { return ending }
            if !point.wait(while: Self.waiting, until: deadline) { _ = decide(.timedOut) }
        }
    }

    /// Suspends the task until the wait ends, at the latest at `deadline`. Ends too when the task
    /// is cancelled.
    func suspend(until deadline: WorldClock.Instant?) async -> Ending {
        let timer = deadline.map { deadline in
            Task.detached {
                guard (try? await WorldClock.sleep(until: deadline)) != nil else { return }
                self.rouse(self.decide(.timedOut))
            }
        }
        await withTaskCancellationHandler {
            unsafe await withUnsafeContinuation { continuation in
                unsafe self.continuation.store(continuation)
                let (isSuspended, _) = point.word.compareExchange(
                    expected: Self.waiting, desired: Self.suspended,
                    ordering: .acquiringAndReleasing)
                // It has ended already.
                if !isSuspended { unsafe continuation.resume() }
            }
        } onCancel: {
            rouse(decide(.cancelled))
        }
        timer?.cancel()
        return ending ?? .woken
    }
}
