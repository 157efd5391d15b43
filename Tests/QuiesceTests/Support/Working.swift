// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// What an item's function does that says when it has started, and returns when it is let.
final class Held: Sendable {
    private let started = WaitPoint.Shared()
    private let released = WaitPoint.Shared()

    func run() {
        started.advance(to: 1)
        released.wait(for: 1)
    }

    func waitUntilStarted() { started.wait(for: 1) }
    func release() { released.advance(to: 1) }
}

/// Has an item of an ordered queue run, until it is released.
func startHeld() -> (queue: WorkQueue, item: Work, held: Held, runs: Runs) {
    let queue = WorkQueue(name: "queue", .ordered)
    let (held, runs) = (Held(), Runs())
    let item = Work(name: "W") { runs.run { held.run() } }
    expect(queue.enqueue(item) == .queued)
    held.waitUntilStarted()
    return (queue, item, held, runs)
}

extension WorkQueue {
    /// Whether somebody waits for its items.
    var isAwaited: Bool { serving.withLock { !$0.awaited.isEmpty } }
}

/// What came out in any of the executions of an exploration.
final class Seen<Outcome: Hashable & Sendable>: Sendable {
    private let outcomes = Mutex(Set<Outcome>())

    func note(_ outcome: Outcome) { outcomes.withLock { _ = $0.insert(outcome) } }
    var all: Set<Outcome> { outcomes.withLock { $0 } }
}

/// What happened when, in milliseconds since the timeline was made.
final class Timeline: Sendable {
    struct Entry: Equatable, CustomStringConvertible, Sendable {
        let time: Int64
        let event: String

        init(_ time: Int64, _ event: String) {
            self.time = time
            self.event = event
        }

        var description: String { "\(time) \(event)" }
    }

    private let start = WorldClock.now()
    private let entries = Mutex<[Entry]>([])

    init() { entries.label("timeline") }

    func note(_ event: String) {
        let time = (WorldClock.now() - start) / Duration.milliseconds(1)
        entries.withLock { $0.append(Entry(Int64(time), event)) }
    }

    var all: [Entry] { entries.withLock { $0 } }
}

/// Explores `body` where time passes only when nothing else can run. With a limit on executions, so
/// many of them.
///
/// - Parameter abandons: whether a thread may be left that waits for an item for ever, where an
///   execution that repeats another is cut short: its workers have gone home.
@discardableResult
func verifyInTime(
    _ name: String, processors: Int = 2, executions: Int = .max, abandons: Bool = false,
    granularity: ExplorationOptions.Granularity? = nil,
    location: SourceLocation = #_sourceLocation,
    _ body: @escaping (ExploredWorld) throws -> Void
) throws -> ExplorationReport {
    var options = ExplorationOptions()
    options.time = .discrete
    if let granularity { options.granularity = granularity }
    options.processorCount = processors
    options.executionLimit = min(executions, executionsOfATest)
    let report = try Exploration(name, options: options, body).run()
    let expected = [
        ExplorationReport.Coverage.bounded(by: "time"), .bounded(by: "\(executions) executions"),
    ]
    #expect(
        expected.contains(report.coverage),
        "\(report.counterexample?.text ?? "\(report.coverage)")",
        sourceLocation: location)
    #expect(
        report.failed == 0 && (abandons || report.abandonedThreads == 0), sourceLocation: location)
    return report
}
