// SPDX-License-Identifier: Apache-2.0

import Substrate

/// One execution of a program under exploration, as the program sees it.
///
/// The closure given to `explore` runs once for each execution. It makes the objects, then the
/// threads. Calls from threads that are not explored do nothing.
public final class ExploredWorld: @unchecked Sendable {
    // Unchecked: every thread of an execution is a fiber of the one thread that explores.
    private let scheduler: Scheduler

    init(_ scheduler: Scheduler) {
        self.scheduler = scheduler
    }

    /// Whether a thread or a task of the exploration calls. What another thread wants of the world
    /// comes to nothing and is a misuse.
    @inline(__always)
    private var isCalledFromInside: Bool {
        if scheduler.isWatchingThisThread { return true }
        scheduler.foreignUses.store(1, ordering: .relaxed)
        return false
    }

    /// Starts a thread. The execution is over when all threads have ended.
    ///
    /// The name is asked for only while a trace is recorded, or when the program asks for a
    /// thread's name.
    public func thread(_ name: @autoclosure () -> String, _ body: @escaping @Sendable () -> Void) {
        guard isCalledFromInside else { return }
        _ = scheduler.spawnThread(name: name(), isService: false, body)
    }

    /// Starts a thread that serves others: its waiting for ever is neither a deadlock nor a leak.
    public func service(_ name: @autoclosure () -> String, _ body: @escaping @Sendable () -> Void) {
        guard isCalledFromInside else { return }
        _ = scheduler.spawnThread(name: name(), isService: true, body)
    }

    /// Runs `body` once when every other thread has ended and no service can run. It may check,
    /// and free.
    public func afterwards(_ body: @escaping @Sendable () -> Void) {
        if isCalledFromInside { unsafe scheduler.afterwards.append(body) }
    }

    /// Adds a line to the running thread's column of a trace. Costs nothing while no trace is
    /// recorded.
    public func note(_ text: @autoclosure () -> String) {
        guard scheduler.isRecordingTrace, scheduler.mode == .exploring, isCalledFromInside
        else { return }
        scheduler.recorder?.note(thread: scheduler.current, .note(text()), site: nil)
    }

    /// Declares that `second` is marked only after `first` was. An execution that marks `second`
    /// first has failed.
    public func order(_ first: String, before second: String) {
        if isCalledFromInside { scheduler.order.declare(first, before: second) }
    }

    /// Says that the running thread got to the place called `label`. A step where an order names
    /// the label.
    public func mark(_ label: String, file: StaticString = #filePath, line: UInt = #line) {
        if isCalledFromInside { scheduler.markReached(label, Site(file, line)) }
    }
}

/// Checks that `condition` holds in this execution. A failure is the verdict of the execution,
/// which goes on.
///
/// Works in any process. Outside an exploration a failure traps.
public func expect(
    _ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String = "",
    file: StaticString = #filePath, line: UInt = #line
) {
    guard !condition() else { return }
    guard let scheduler = Scheduler.watchingThisThread else {
        fatalError(
            "expectation failed outside an exploration, at \(SourceFile.name(file.description)):\(line): \(message())"
        )
    }
    scheduler.failExpectation(message(), Site(file, line))
}
