// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

// The one file that rests on interfaces of the Swift runtime which are not stable.
// `JobCaptureTests` fails loudly when they change.
#if os(Linux)
    @_spi(ExperimentalCustomExecutors) @_spi(ExperimentalScheduling) import _Concurrency
#endif

/// Brings the jobs of explored tasks to their scheduler. All others pass through to the executors
/// that were there before.
enum JobCapture {
    /// A job, as the runtime hands it out.
    static func address(_ job: UnownedJob) -> UInt { unsafe unsafeBitCast(job, to: UInt.self) }

    static func job(_ address: UInt) -> UnownedJob {
        unsafe unsafeBitCast(address, to: UnownedJob.self)
    }

    #if os(Linux)
        /// Gives a job that was enqueued to the scheduler that watches this thread; returns it
        /// where there is none.
        fileprivate static func capture(
            _ enqueued: consuming ExecutorJob, on place: ThreadRecord.Place
        ) -> ExecutorJob? {
            let kind = enqueued.kind.rawValue
            let job = UnownedJob(enqueued)
            let isTaken: Void? = Scheduler.watchingThisThread {
                $0.noteSharing()
                $0.jobQueued(address(job), kind: kind, on: place)
            }
            if isTaken != nil || captureElsewhere(address(job), kind: kind, on: place) {
                return nil
            }
            return ExecutorJob(job)
        }
    #endif

    /// The runtime tells `observer` something of what is at `subject`.
    @inline(__always)
    private static func told(
        _ observer: UnsafeMutableRawPointer, _ subject: UnsafeMutableRawPointer?,
        _ hear: (Scheduler, UInt) -> Void
    ) {
        unsafe Scheduler.watching(observer) {
            $0.noteSharing()
            hear($0, UInt(bitPattern: subject))
        }
    }

    /// Whether the runtime announces its jobs, so that all are seen. Else what several tasks do on
    /// an actor one right after the other is one step.
    static let isAnnounced: Bool = {
        var listener = unsafe quiesce_job_listener(
            queued: { unsafe told($0, $1) { $0.taskQueued($1) } },
            begins: { unsafe told($0, $1) { $0.taskBegins($1) } },
            completed: { unsafe told($0, $1) { $0.taskCompleted($1) } },
            touches: { unsafe told($0, $1) { $0.taskTouched($1) } },
            releases: { unsafe told($0, $1) { $0.taskReleased($1) } },
            acquires: { unsafe told($0, $1) { $0.taskAcquired($1) } },
            cancels: { unsafe told($0, $1) { $0.taskCancelled($1) } },
            locks: { observer, mutex, isStream in
                unsafe told(observer, mutex) { $0.runtimeLocks($1, ofStream: isStream) }
            },
            unlocks: { unsafe told($0, $1) { $0.runtimeUnlocks($1) } },
            now: { observer in unsafe Scheduler.watching(observer) { $0.runtimeTime } ?? 0 },
            hands: { observer, mayOnlyWake in
                unsafe Scheduler.watching(observer) { $0.noteHandOver(mayOnlyWake: mayOnlyWake) }
            })
        guard unsafe quiesce_jobs_listen(&listener) else { return false }
        quiesce_jobs_learn_stream { AsyncStream<Never>.makeStream().continuation.finish() }
        return true
    }()

    private static let installation = Mutex(())

    /// Whether the jobs of new tasks come here.
    static var isInstalled: Bool {
        #if os(Linux)
            Task<Never, Never>.defaultExecutor === CapturingFactory.pool
        #else
            false
        #endif
    }

    /// Captures jobs from now on.
    static func install() {
        #if os(Linux)
            installation.withLock { _ in
                // Another library may have installed executors since, and they may stand in front
                // of ours. So ours do not stand in front of those, but take their place.
                if !isInstalled { _createExecutors(factory: CapturingFactory.self) }
            }
        #endif
    }

    // MARK: Running

    /// Whether this is the identity of the main actor's executor.
    static func isMain(_ executor: UInt) -> Bool {
        #if os(Linux)
            unsafe executor
                == UInt(bitPattern: Unmanaged.passUnretained(CapturingFactory.main).toOpaque())
        #else
            false
        #endif
    }

    #if os(Linux)
        static func runOnPool(_ job: UInt) {
            unsafe JobCapture.job(job).runSynchronously(
                on: CapturingFactory.pool.asUnownedTaskExecutor())
        }

        static func runOnMain(_ job: UInt) {
            unsafe JobCapture.job(job).runSynchronously(
                on: CapturingFactory.main.asUnownedSerialExecutor())
        }
    #else
        // No exploration gets this far.
        static func runOnPool(_ job: UInt) { fatalError(Exploration.missingPlatform ?? "") }
        static func runOnMain(_ job: UInt) { fatalError(Exploration.missingPlatform ?? "") }
    #endif
}

extension Scheduler {
    /// Calls `body` with `observer`, if it is a scheduler, which is no reference more: the runtime
    /// announces much.
    @inline(__always)
    @discardableResult
    static func watching<Result>(
        _ observer: UnsafeMutableRawPointer, _ body: (Scheduler) -> Result
    ) -> Result? {
        unsafe Unmanaged<Observer>.fromOpaque(observer)._withUnsafeGuaranteedRef {
            guard type(of: $0) == Scheduler.self else { return nil }
            return body(unsafe unsafeDowncast($0, to: Scheduler.self))
        }
    }

    /// The same with the scheduler that watches this thread; nil where none does.
    @inline(__always)
    static func watchingThisThread<Result>(_ body: (Scheduler) -> Result) -> Result? {
        guard let observer = unsafe quiesce_current_block().pointee.observer else { return nil }
        return unsafe watching(observer, body)
    }

    /// The scheduler whose fiber calls.
    static var watchingThisThread: Scheduler? { watchingThisThread { $0 } }

    /// Whether one of its fibers calls.
    var isWatchingThisThread: Bool {
        unsafe quiesce_current_block().pointee.observer == Unmanaged.passUnretained(self).toOpaque()
    }
}

#if os(Linux)
    /// The executors that take the place of the process's.
    ///
    /// The runtime reads an executor and its conformance one after the other, also while another
    /// thread installs ours: it may call ours with the object that was there before. So ours have
    /// no state of their own.
    private struct CapturingFactory: ExecutorFactory {
        static let originalPool = Task<Never, Never>.defaultExecutor
        static let originalTimers = originalPool as? any SchedulingExecutor
        static let originalMain = MainActor.executor

        static let pool = {
            _ = (originalPool, originalTimers)
            return PoolExecutor()
        }()
        static let main = {
            _ = originalMain
            return MainActorExecutor()
        }()

        static var defaultExecutor: any TaskExecutor { pool }
        static var mainExecutor: any MainExecutor { main }
    }

    /// Stands in front of the process's pool of threads.
    private final class PoolExecutor: TaskExecutor, SchedulingExecutor {
        func enqueue(_ job: consuming ExecutorJob) {
            if let job = JobCapture.capture(job, on: .pool) {
                CapturingFactory.originalPool.enqueue(job)
            }
        }

        func enqueue<C: _Concurrency.Clock>(
            _ job: consuming ExecutorJob, after delay: C.Duration, tolerance: C.Duration?, clock: C
        ) {
            if let scheduler = Scheduler.watchingThisThread {
                let address = JobCapture.address(UnownedJob(job))
                scheduler.noteSharing()
                scheduler.timerQueued(address, after: nanoseconds(delay, scheduler))
            } else {
                CapturingFactory.originalTimers!.enqueue(
                    job, after: delay, tolerance: tolerance, clock: clock)
            }
        }

        func enqueue<C: _Concurrency.Clock>(
            _ job: consuming ExecutorJob, at instant: C.Instant, tolerance: C.Duration?, clock: C
        ) {
            if let scheduler = Scheduler.watchingThisThread {
                let address = JobCapture.address(UnownedJob(job))
                let delay = clock.now.duration(to: instant)
                scheduler.noteSharing()
                scheduler.timerQueued(address, after: nanoseconds(delay, scheduler))
            } else {
                CapturingFactory.originalTimers!.enqueue(
                    job, at: instant, tolerance: tolerance, clock: clock)
            }
        }

        private func nanoseconds<Time: DurationProtocol>(
            _ duration: Time, _ scheduler: Scheduler
        ) -> Int64 {
            guard let duration = duration as? Duration else {
                scheduler.reachLimit(
                    "\(scheduler.name(ofThread: scheduler.current)) sleeps on a clock whose durations are no Swift.Duration but \(Time.self), which the explored clock cannot measure"
                )
                return 0
            }
            let (seconds, attoseconds) = duration.components
            return Int64(
                clamping: Int128(seconds) * 1_000_000_000 + Int128(attoseconds / 1_000_000_000))
        }
    }

    /// Stands in front of the main actor's executor.
    private final class MainActorExecutor: MainExecutor {
        func enqueue(_ job: consuming ExecutorJob) {
            if let job = JobCapture.capture(job, on: .main) {
                CapturingFactory.originalMain.enqueue(job)
            }
        }

        func run() throws { try CapturingFactory.originalMain.run() }
        func runUntil(_ condition: () -> Bool) throws {
            try CapturingFactory.originalMain.runUntil(condition)
        }
        func stop() { CapturingFactory.originalMain.stop() }
        func checkIsolated() { CapturingFactory.originalMain.checkIsolated() }
    }
#endif
