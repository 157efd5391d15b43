// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

/// Counts the operations of an exploration, so that another thread sees whether it moves.
@safe
final class Heartbeat: @unchecked Sendable {
    // Unchecked: the counter is written by one thread and read by the watchdog, both with relaxed
    // atomics in C.
    let threadID: Int32
    private let counter: UnsafeMutablePointer<UInt64>

    init(threadID: Int32) {
        self.threadID = threadID
        unsafe counter = .allocate(capacity: 1)
        unsafe counter.initialize(to: 0)
    }

    deinit { unsafe counter.deallocate() }

    /// An operation happens. Not a Substrate operation itself: those are what it counts.
    @inline(__always)
    func tick() { unsafe quiesce_counter_tick(counter) }

    var count: UInt64 { unsafe quiesce_counter_read(counter) }
}

/// Stops explored threads that do nothing which Substrate sees: one thread for all explorations of
/// the process.
enum Watchdog {
    private struct Watched: Sendable {
        var heartbeat: Heartbeat
        var limit: UInt64
        var last: UInt64
        var since: UInt64
    }

    private struct State: Sendable {
        var watched: [Watched] = []
        var isRunning = false
    }

    private static let state = Mutex(State())
    private static let period = Duration.milliseconds(100)

    /// Watches `heartbeat` while `body` runs.
    static func watching<Result>(
        _ heartbeat: Heartbeat, seconds: Double, _ body: () throws -> Result
    ) rethrows -> Result {
        guard seconds > 0 else { return try body() }
        let limit = UInt64(min(seconds, 1e9) * 1e9)
        state.withLock { state in
            state.watched.append(
                Watched(
                    heartbeat: heartbeat, limit: limit, last: heartbeat.count,
                    since: WorldClock.now().nanoseconds))
            guard !state.isRunning else { return }
            // Without a watchdog a program that blocks outside Substrate hangs; that is no reason
            // not to explore.
            state.isRunning =
                (try? WorldThread.spawn(name: "watchdog", isService: true, blocksSignals: true) {
                    run()
                })
                != nil
        }
        defer { state.withLock { $0.watched.removeAll { $0.heartbeat === heartbeat } } }
        return try body()
    }

    private static func run() {
        while true {
            sleep()
            let goesOn = state.withLock { state in
                let now = WorldClock.now().nanoseconds
                for index in state.watched.indices {
                    let count = state.watched[index].heartbeat.count
                    if count != state.watched[index].last {
                        state.watched[index].last = count
                        state.watched[index].since = now
                    } else if now - state.watched[index].since > state.watched[index].limit {
                        // Again and again, until it moves: in the allocator it is not stopped.
                        quiesce_trap_interrupt(state.watched[index].heartbeat.threadID)
                    }
                }
                state.isRunning = !state.watched.isEmpty
                return state.isRunning
            }
            if !goesOn { return }
        }
    }

    private static func sleep() { WorldClock.sleep(for: period) }
}
