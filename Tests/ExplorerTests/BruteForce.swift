// SPDX-License-Identifier: Apache-2.0

import Substrate

@testable import Explorer

/// An execution up to the order of what does not conflict: for every object its sequence of writes,
/// with the sets of reads between them.
struct MazurkiewiczTrace {
    private var groups: [String: [(isWrite: Bool, events: Set<String>)]] = [:]
    private var counts: [Int32: Int] = [:]

    mutating func append(_ event: Event, _ scheduler: Scheduler) {
        let index = counts[event.thread, default: 0]
        counts[event.thread] = index + 1
        let identity = "\(event.thread).\(index)" + (event.choice < 0 ? "" : ".\(event.choice)")
        for slot in 0..<Int(event.footprint.count) {
            let object = name(event.footprint.object(slot), scheduler)
            let isWrite = event.footprint.writes(slot)
            let commutes = !isWrite || Footprint.isOfSorts(event.footprint.object(slot))
            if commutes, let last = groups[object]?.last, last.isWrite == isWrite {
                groups[object]![groups[object]!.count - 1].events.insert(identity)
            } else {
                groups[object, default: []].append((isWrite, [identity]))
            }
        }
    }

    /// A name that does not depend on the order in which objects were first seen.
    private func name(_ object: Int32, _ scheduler: Scheduler) -> String {
        let address = scheduler.objects[object].address
        guard address >> 48 != 0 else { return "\(object)" }
        return
            "buffer \(address >> 48) of \(scheduler.objects.find(address & 0xffff_ffff_ffff, by: 0).object)"
    }

    var text: String {
        let objects = groups.sorted { $0.key < $1.key }.map { object, groups in
            let accesses = groups.map {
                ($0.isWrite ? "w" : "r") + $0.events.sorted().joined(separator: "+")
            }
            return "\(object): " + accesses.joined(separator: " ")
        }
        let done = counts.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return objects.joined(separator: "; ") + " | " + done.joined(separator: ",")
    }
}

/// Counts Mazurkiewicz traces the slow way: every interleaving is run.
final class BruteForce: DepthFirst {
    private(set) var traces: Set<String> = []
    private var trace = MazurkiewiczTrace()

    override func beginExecution() {
        super.beginExecution()
        trace = MazurkiewiczTrace()
    }

    override func committed(_ event: Event, at position: Int) -> Divergence? {
        trace.append(event, scheduler)
        return super.committed(event, at: position)
    }

    override func endExecution(_ outcome: Outcome) -> Bool {
        traces.insert(trace.text)
        return super.endExecution(outcome)
    }

    /// The traces of a program.
    static func traces(_ body: @escaping (ExploredWorld) -> Void) -> Set<String> {
        run(body) {
            BruteForce($0)
        } result: {
            $0.traces
        }
    }

    static func count(_ body: @escaping (ExploredWorld) -> Void) -> Int { traces(body).count }

    fileprivate static func run<S: Strategy, R>(
        _ body: @escaping (ExploredWorld) -> Void, _ make: (Scheduler) -> S, result: (S) -> R
    ) -> R {
        let exploration = Exploration("traces", options: ExplorationOptions(), body)
        let scheduler = Scheduler(exploration.options)
        return exploration.exploring(scheduler) { run in
            let strategy = make(scheduler)
            scheduler.use(strategy)
            while strategy.endExecution(run()) {}
            return result(strategy)
        }
    }
}

/// The optimal strategy, with the traces that it runs.
final class TracedReduction: OptimalReduction {
    private(set) var traces: [String] = []

    override func endExecution(_ outcome: Outcome) -> Bool {
        var trace = MazurkiewiczTrace()
        for position in 0..<scheduler.history.count {
            trace.append(scheduler.history.event(position), scheduler)
        }
        if outcome != .blocked { traces.append(trace.text) }
        return super.endExecution(outcome)
    }

    static func traces(_ body: @escaping (ExploredWorld) -> Void) -> [String] {
        BruteForce.run(body) {
            TracedReduction($0)
        } result: {
            $0.traces
        }
    }
}

/// Explores to the end, without minimising.
func exhaust(
    _ strategy: ExplorationOptions.Strategy = .optimal, time: ExplorationOptions.Time = .any,
    _ body: @escaping (ExploredWorld) throws -> Void
) throws -> ExplorationReport {
    var options = ExplorationOptions(strategy: strategy)
    options.stopsAtFirstFailure = false
    options.minimizes = false
    options.time = time
    return try Exploration("test", options: options, body).run()
}

/// What the executions of a program leave behind.
final class Outcomes: @unchecked Sendable {
    // Unchecked: written by the fibers of one thread.
    private(set) var all: Set<String> = []
    func insert(_ outcome: String) { all.insert(outcome) }
}
