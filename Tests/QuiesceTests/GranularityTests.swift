// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// What operations declare, so that each can be looked at as one step.
@Suite struct GranularityTests {
    /// A small use, which says how it went.
    struct Use: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let program: @Sendable (ExploredWorld, Log) -> Void

        init(_ description: String, _ program: @escaping @Sendable (ExploredWorld, Log) -> Void) {
            testDescription = description
            self.program = program
        }
    }

    /// What each thread of an execution came to.
    final class Log: Sendable {
        private let entries = Mutex<[String: String]>([:])

        func set(_ key: String, _ value: some Sendable) {
            entries.withLock { $0[key] = "\(value)" }
        }
        var text: String {
            entries.withLock {
                $0.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(
                    separator: ", ")
            }
        }
    }

    /// How the executions of a use end, and how many there are.
    private func outcomes(
        _ use: Use, _ granularity: ExplorationOptions.Granularity
    ) throws -> (texts: Set<String>, executions: Int) {
        let texts = Mutex(Set<String>())
        let report = try verify("\(use.testDescription), \(granularity)", granularity: granularity)
        { world in
            let log = Log()
            use.program(world, log)
            world.afterwards { texts.withLock { _ = $0.insert(log.text) } }
        }
        return (texts.withLock { $0 }, report.executions)
    }

    static let uses = [
        Use("a reader and a closer of a gate") { world, log in
            let gate = Gate(name: "gate")
            world.thread("reader") { log.set("entered", gate.withEntry { _ in true } ?? false) }
            world.thread("closer") {
                sure { try gate.close() }
                log.set("closed", gate.isClosed)
            }
        },
        Use("a value that is revoked") { world, log in
            let value = Revocable(7)
            world.thread("user") { log.set("user", value.withValue { $0 } ?? 0) }
            world.thread("revoker") { log.set("revoked", sure { try value.close() } != nil) }
        },
        Use("two signal and one takes") { world, log in
            let event = EventCounter()
            for name in ["one", "other"] { world.thread(name) { sure { try event.signal() } } }
            world.thread("taker") { log.set("taken", event.tryTake() ?? 0) }
            world.afterwards { log.set("left", event.value) }
        },
        Use("a taker waits for a signal") { world, log in
            let event = EventCounter(isSemaphore: true)
            world.thread("taker") { log.set("taken", sure { try event.take() } ?? 0) }
            world.thread("signaller") { sure { try event.signal() } }
            log.set("stolen", event.tryTake() ?? 0)
            sure { try event.signal() }
        },
        Use("a reference is looked up against the last drop") { world, log in
            let object = Counted()
            let first = Handed(Reference(object))
            world.thread("dropper") { first.take().drop() }
            world.thread("seeker") {
                guard let found = object.tryReference() else { return log.set("found", false) }
                log.set("found", true)
                found.drop()
            }
        },
        Use("an item is cancelled") { world, log in
            let queue = WorkQueue(name: "queue", .ordered)
            let runs = Runs()
            let item = Work(name: "item") { runs.count() }
            log.set("enqueued", queue.enqueue(item))
            world.thread("canceller") { log.set("cancelled", item.cancel()) }
            world.afterwards { log.set("runs", runs.total) }
        },
        Use("an item is disabled against another path") { world, log in
            let queue = WorkQueue(name: "queue", .ordered)
            let runs = Runs()
            let item = Work(name: "item") { runs.count() }
            world.thread("another path") { log.set("enqueued", queue.enqueue(item)) }
            log.set("was pending", sure { try item.close() } ?? false)
            log.set("runs", runs.total)
        },
        Use("an item is disabled, and looked at") { world, log in
            let queue = WorkQueue(name: "queue", .ordered)
            let item = Work(name: "item") {}
            _ = queue.enqueue(item)
            world.thread("disabler") { log.set("disable said pending", item.disable()) }
            world.thread("observer") { if item.isDisabled { log.set("pending", item.isPending) } }
        },
        Use("an item is enabled by two") { world, log in
            let item = Work(name: "item") {}
            item.disable()
            item.disable()
            for name in ["one", "other"] { world.thread(name) { log.set(name, item.enable()) } }
        },
        Use("a queue is destroyed against another path") { world, log in
            let queue = WorkQueue(name: "queue", .ordered)
            let runs = Runs()
            world.thread("another path") { log.set("enqueued", queue.enqueue { runs.count() }) }
            sure { try queue.close() }
            log.set("runs", runs.total)
        },
        Use("a queue is drained against another path") { world, log in
            let queue = WorkQueue(name: "queue", .ordered)
            let runs = Atomic(0)
            let chained = Atomic(false)
            runs.label("runs")
            chained.label("chained")
            _ = queue.enqueue {
                chained.store(
                    queue.enqueue { runs.add(1, ordering: .relaxed) } == .queued, ordering: .relaxed
                )
            }
            world.thread("another path") {
                log.set("enqueued", queue.enqueue { runs.add(1, ordering: .relaxed) })
            }
            sure { try queue.drain() }
            log.set("chained", chained.load(ordering: .relaxed))
            world.afterwards { log.set("runs", runs.load(ordering: .relaxed)) }
        },
        Use("two producers of an ordered queue") { world, log in
            let queue = WorkQueue(name: "queue", .ordered)
            let order = Mutex("")
            for name in ["a", "b"] {
                world.thread(name) { _ = queue.enqueue { order.withLock { $0 += name } } }
            }
            world.afterwards { log.set("order", order.withLock { $0 }) }
        },
        Use("two items beside each other") { world, log in
            let queue = WorkQueue(name: "queue")
            let order = Mutex("")
            for name in ["a", "b"] {
                _ = queue.enqueue {
                    order.withLock { $0 += name }
                    order.withLock { $0 += name.uppercased() }
                }
            }
            world.afterwards { log.set("order", order.withLock { $0 }) }
        },
    ]

    private final class Counted: ReferenceCounted {
        let referenceCount = ReferenceCount()
        init() { referenceCount.label("count") }
        func release() {}
    }

    @Test(arguments: uses) func `looked at as steps, operations lead to the same`(_ use: Use) throws
    {
        let fine = try outcomes(use, .fine)
        let coarse = try outcomes(use, .coarse)
        #expect(coarse.texts == fine.texts)
        // What an operation touches where it comes earlier is not known, so that some traces may be
        // run twice.
        #expect(coarse.executions <= fine.executions * 51 / 50)
        print("\(use.testDescription): fine \(fine.executions), coarse \(coarse.executions)")
    }

    // MARK: Commuting

    /// Two operations that are declared to commute, from one state. Each says what it answered.
    struct Pair: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// Makes the state, and returns the two, and what can be told of the state afterwards.
        let make:
            @Sendable () -> (@Sendable () -> String, @Sendable () -> String, @Sendable () -> String)
    }

    private enum GateState: String, CaseIterable, Sendable {
        case open, entered, closed
    }

    /// Entering, leaving and looking at a gate, in each of its states.
    static let gatePairs: [Pair] = GateState.allCases.flatMap { state in
        let looks: [(String, @Sendable (Gate) -> String)] = [
            ("enter and leave", { "\($0.withEntry { _ in true } ?? false)" }),
            (
                "enter twice",
                { gate in
                    "\(gate.withEntry { _ in gate.withEntry { _ in true } ?? false } ?? false)"
                }
            ),
            ("look", { "\($0.isClosing), \($0.isClosed)" }),
        ]
        return looks.flatMap { first in
            looks.map { second in
                Pair(testDescription: "\(first.0) || \(second.0), \(state.rawValue)") {
                    let gate = Gate(name: "gate")
                    switch state {
                    case .open: break
                    case .entered: _ = gate.withOwnedEntry { $0.leave() }
                    case .closed: sure { try gate.close() }
                    }
                    return (
                        { first.1(gate) }, { second.1(gate) },
                        { "\(gate.isClosing), \(gate.isClosed), \((try? gate.close()) != nil)" }
                    )
                }
            }
        }
    }

    /// Operations on different queues, and looks at one.
    static let workPairs: [Pair] = [
        Pair(testDescription: "enqueue on one queue || enqueue on another") {
            let queues = [WorkQueue(name: "one", .ordered), WorkQueue(name: "other", .ordered)]
            let runs = [Runs(), Runs()]
            return (
                { "\(queues[0].enqueue { runs[0].count() })" },
                { "\(queues[1].enqueue { runs[1].count() })" },
                { "\(runs[0].total), \(runs[1].total)" }
            )
        },
        Pair(testDescription: "look at a queue || look at its item") {
            let queue = WorkQueue(name: "queue", .ordered)
            let item = Work(name: "item") {}
            return ({ "\(queue.limit)" }, { "\(item.activity.rawValue)" }, { "\(item.isPending)" })
        },
    ]

    /// All that two threads can come to, with one after the other and with their steps mixed.
    private func results(_ pair: Pair) throws -> Set<String> {
        let texts = Mutex(Set<String>())
        try verify(pair.testDescription) { world in
            let (first, second, state) = pair.make()
            let log = Log()
            world.thread("first") { log.set("first", first()) }
            world.thread("second") { log.set("second", second()) }
            world.afterwards { texts.withLock { _ = $0.insert(log.text + "; " + state()) } }
        }
        return texts.withLock { $0 }
    }

    @Test(arguments: gatePairs + workPairs) func `operations that are declared to commute do`(
        _ pair: Pair
    ) throws {
        #expect(try results(pair).count == 1)
    }

    @Test func `operations that are not do not`() throws {
        let pair = Pair(testDescription: "enter || close") {
            let gate = Gate(name: "gate")
            return (
                { "\(gate.withEntry { _ in true } ?? false)" }, { "\((try? gate.close()) != nil)" },
                { "" }
            )
        }
        #expect(try results(pair).count == 2)
    }
}
