// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// The monotonic clock. While explored, time passes only when a timer fires, and a pending timer
/// may fire at any step.
public enum WorldClock {
    /// A point in time.
    public struct Instant: Comparable, Hashable, Sendable {
        /// Nanoseconds since an arbitrary start.
        public let nanoseconds: UInt64

        public init(nanoseconds: UInt64) {
            self.nanoseconds = nanoseconds
        }

        public static func < (left: Instant, right: Instant) -> Bool {
            left.nanoseconds < right.nanoseconds
        }

        /// The instant `duration` later, or the last one that can be told.
        public static func + (instant: Instant, duration: Duration) -> Instant {
            let (seconds, attoseconds) = duration.components
            let added = Int128(seconds) * 1_000_000_000 + Int128(attoseconds / 1_000_000_000)
            return Instant(nanoseconds: UInt64(clamping: Int128(instant.nanoseconds) + added))
        }

        /// The time from `earlier` to `later`.
        public static func - (later: Instant, earlier: Instant) -> Duration {
            .nanoseconds(Int64(clamping: Int128(later.nanoseconds) - Int128(earlier.nanoseconds)))
        }
    }

    /// The present.
    public static func now(file: StaticString = #filePath, line: UInt = #line) -> Instant {
        if let observer = Watch.observer {
            return Instant(nanoseconds: observer.with { $0.now(at: Site(file, line)) })
        }
        return Instant(nanoseconds: quiesce_monotonic_nanoseconds())
    }

    /// Blocks this thread until `deadline`.
    @available(*, noasync, message: "it would block a thread of the cooperative pool")
    public static func sleep(
        until deadline: Instant, file: StaticString = #filePath, line: UInt = #line
    ) {
        if let observer = Watch.observer {
            var operation = Operation(.sleep, 0, .relaxed, site: Site(file, line))
            operation.deadline = max(deadline.nanoseconds, 1)
            _ = BlockingObserver.told { observer.perform(operation) }
            return
        }
        BlockingObserver.told { quiesce_sleep_until(deadline.nanoseconds) }
    }

    /// Blocks this thread for `duration`.
    @available(*, noasync, message: "it would block a thread of the cooperative pool")
    public static func sleep(
        for duration: Duration, file: StaticString = #filePath, line: UInt = #line
    ) {
        sleep(until: now(file: file, line: line) + duration, file: file, line: line)
    }

    /// Suspends the running task until `deadline`.
    ///
    /// - Throws: `CancellationError` when the task is cancelled first.
    public static func sleep(
        until deadline: Instant, file: StaticString = #filePath, line: UInt = #line
    ) async throws {
        // The same clock: it stands still while the system is suspended.
        let now = now(file: file, line: line).nanoseconds
        guard deadline.nanoseconds > now else { return try Task.checkCancellation() }
        try await Task.sleep(
            for: .nanoseconds(Int64(clamping: deadline.nanoseconds - now)), clock: .suspending)
    }
}
