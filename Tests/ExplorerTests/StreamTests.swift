// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Synchronization
import Testing

/// Streams of the standard library: what is found in one depends on who used it before.
@Suite struct StreamTests {
    private final class Outcomes: Sendable {
        private let found = Synchronization.Mutex<Set<String>>([])
        func note(_ outcome: String) { found.withLock { _ = $0.insert(outcome) } }
        var all: Set<String> { found.withLock { $0 } }
    }

    private func explore(
        _ program: @escaping @Sendable (Outcomes) async throws -> Void
    ) throws -> (ExplorationReport, Set<String>) {
        let outcomes = Outcomes()
        var options = ExplorationOptions()
        options.stopsAtFirstFailure = false
        let report = try Exploration("program", options: options) { _ in
            try await program(outcomes)
        }.run()
        #expect(report.failed == 0 && report.coverage == .all, "\(report)")
        return (report, outcomes.all)
    }

    @Test func `a reader begins before what its maker yields`() throws {
        let (_, outcomes) = try explore { outcomes in
            let (stream, continuation) = AsyncStream.makeStream(
                of: Int.self, bufferingPolicy: .bufferingNewest(0))
            let got = Substrate.Atomic(0)
            let reader = Task { for await x in stream { got.store(x, ordering: .relaxed) } }
            continuation.yield(1)
            continuation.finish()
            await reader.value
            outcomes.note("\(got.load(ordering: .relaxed))")
        }
        #expect(outcomes == ["0", "1"])
    }

    @Test func `a stream of the main task's own says nothing about the other tasks`() throws {
        let report = try Exploration("program") { _ in
            let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
            continuation.yield(1)
            continuation.finish()
            for await _ in stream {}
            await withTaskGroup { group in
                for _ in 0..<2 { group.addTask { _ = Int.random(in: 0..<2) } }
            }
        }.run()
        #expect(report.coverage != .all, "what the tasks did was not seen")
    }

    @Test func `an end comes before an element or after it`() throws {
        let (_, outcomes) = try explore { outcomes in
            let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
            await withTaskGroup { group in
                group.addTask { _ = continuation.yield(1) }
                group.addTask { continuation.finish() }
            }
            var elements: [Int] = []
            for await element in stream { elements.append(element) }
            outcomes.note("\(elements)")
        }
        #expect(outcomes == ["[]", "[1]"])
    }
}
