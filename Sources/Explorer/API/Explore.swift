// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#elseif canImport(Darwin)
    import Darwin
#endif

/// Runs `body` through every interleaving of its threads that can differ, and throws when one goes
/// wrong.
///
/// `body` is the main thread: it makes the objects and starts the threads. Everything that threads
/// share is made of Substrate's types, or of types built on them. The call blocks the calling
/// thread; explorations on different threads do not disturb each other.
///
/// With `QUIESCE_REPLAY` in the environment, set to a token that this test printed, only that
/// schedule runs.
///
/// - Parameter name: names the test in messages, and is the identity in its replay tokens.
/// - Returns: how many executions there were, and the coverage.
/// - Throws: `ExplorationFailure`, whose description shows the shortest schedule found;
///   `Exploration.Failure` when the program is not deterministic.
@discardableResult
public func explore(
    _ name: String, options: ExplorationOptions = ExplorationOptions(),
    file: StaticString = #filePath, line: UInt = #line,
    _ body: @escaping (ExploredWorld) throws -> Void
) throws -> ExplorationReport {
    try carryOut(Exploration(name, options: options, body), file, line)
}

/// Runs `body`, as the main task, through every interleaving of its tasks and threads that can
/// differ, and throws when one goes wrong.
///
/// Explored are `Task`, `Task.detached`, `async let`, task groups, actors and the main actor,
/// continuations, streams, yields, sleeps and cancellation, and the threads of Substrate that the
/// tasks start. The jobs of other tasks of the process are not touched. Priorities are ignored: an
/// actor serves its tasks in the order of their arrival. A test that looks at the time takes
/// Substrate's `WorldClock`.
///
/// The exploration has a thread of its own; the calling task is suspended meanwhile.
///
/// - Parameter name: names the test in messages, and is the identity in its replay tokens.
/// - Returns: how many executions there were, and the coverage.
/// - Throws: as for threads.
@discardableResult
public func explore(
    _ name: String, options: ExplorationOptions = ExplorationOptions(),
    file: StaticString = #filePath, line: UInt = #line,
    _ body: @escaping @Sendable (ExploredWorld) async throws -> Void
) async throws -> ExplorationReport {
    // Here, for this comes before all else.
    if let reason = Exploration.obstacle { throw Exploration.Failure.impossible(reason) }
    // Here, for a task that goes to another thread has left the exploration.
    if Exploration.isRunningHere { throw Exploration.Failure.nested }
    return try await ExploringThreads.run {
        try carryOut(Exploration(name, options: options, body), file, line)
    }
}

private func carryOut(
    _ exploration: Exploration, _ file: StaticString, _ line: UInt
) throws -> ExplorationReport {
    if let reason = Exploration.obstacle { throw Exploration.Failure.impossible(reason) }
    var exploration = exploration
    let progress = ProgressLine()
    defer { progress.end() }
    if exploration.options.progress == nil { exploration.options.progress = progress.show }
    let name = exploration.name
    if let token = try ReplayToken.requested(for: name) {
        var report = ExplorationReport(name: name)
        report.executions = 1
        report.coverage = .bounded(by: "one replayed schedule")
        report.counterexample = try exploration.replay(token)
        return try checked(report, file, line)
    }
    return try checked(try exploration.run(), file, line)
}

extension ReplayToken {
    /// The token in `QUIESCE_REPLAY`, if it is that of the test of this name: other tests of the
    /// run are none of its business.
    package static func requested(for test: String) throws -> ReplayToken? {
        guard let text = unsafe getenv("QUIESCE_REPLAY") else { return nil }
        let token = try ReplayToken(unsafe String(cString: text))
        return token.belongs(to: test) ? token : nil
    }
}

private func checked(_ report: ExplorationReport, _ file: StaticString, _ line: UInt) throws
    -> ExplorationReport
{
    guard let counterexample = report.counterexample else { return report }
    // A file is named after the suite in it.
    let suite =
        SourceFile.name(file.description).split(separator: ".").first.map(String.init) ?? "NAME"
    let style = TraceStyle(
        title: report.name, location: "\(SourceFile.name(file.description)):\(line)",
        replay: "QUIESCE_REPLAY=\(counterexample.token) swift test --filter \(suite)")
    throw ExplorationFailure(report: report, text: TraceRenderer(style).render(counterexample))
}
