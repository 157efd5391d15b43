// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@testable import Explorer

/// The states of a few objects, small enough to try all of them.
private struct ModelStates: Hashable {
    static let lock: Int32 = 10
    static let condition: Int32 = 11
    static let word: Int32 = 12
    static let queue: Int32 = 13
    /// What stands for the buffered stores of thread t is this and t.
    static let buffer: Int32 = 20

    var lockState = LockState()
    var conditionWaiters = WaiterState()
    var queueWaiters = WaiterState()
    var value: UInt64 = 0
    /// By thread: when its timer ends, 0 for none.
    var timers: [UInt64] = [0, 0, 0]
    /// The clock.
    var time: UInt64 = 0
    /// By thread: whether a store to the word is in its buffer.
    var buffered = [false, false, false]

}

/// Where a step finds and leaves them.
private final class Model: ObjectStates {
    var states: ModelStates

    init(_ states: ModelStates) { self.states = states }

    func lock(_ object: Int32) -> LockState { states.lockState }
    func set(_ object: Int32, _ state: LockState) {
        states.lockState = state
        // Where it was acquired is no part of what the program sees.
        states.lockState.acquired = -1
    }
    func waiters(_ object: Int32) -> WaiterState {
        object == ModelStates.condition ? states.conditionWaiters : states.queueWaiters
    }
    func set(_ object: Int32, _ state: WaiterState) {
        if object == ModelStates.condition {
            states.conditionWaiters = state
        } else {
            states.queueWaiters = state
        }
    }
    func word(_ object: Int32) -> Bits { Bits(low: states.value) }
    // Objects that bring their machines have tests of their own.
    func state(_ object: Int32) -> Bits { Bits() }
    func set(_ object: Int32, _ state: Bits, from before: Bits) {}
    let machines = Machines()
    func mayFire(_ thread: Int32, at deadline: UInt64) -> Bool {
        !states.timers.indices.contains {
            $0 != Int(thread) && states.timers[$0] != 0 && states.timers[$0] < deadline
        }
    }
    func setTimer(of thread: Int32, _ deadline: UInt64) { states.timers[Int(thread)] = deadline }
    var hasOrderedTime: Bool { true }
    func hasBufferedStores(_ thread: Int32?) -> Bool {
        thread.map { states.buffered[Int($0)] } ?? states.buffered.contains(true)
    }
    func isBuffered(_ object: Int32, by thread: Int32) -> Bool { states.buffered[Int(thread)] }
    func touchLifetime(of object: Int32, _ footprint: inout Footprint) {}
    func touch(_ object: Int32, writes: Bool, _ footprint: inout Footprint) {
        footprint.add(object, writes: writes)
    }
}

/// A step of a thread, with what the machines leave to the processor: the value that an atomic step
/// writes.
private struct ModelStep: CustomStringConvertible {
    var step: Step
    var value: UInt64 = 0

    init(
        _ kind: StepKind, _ object: Int32 = -1, _ other: Int32 = -1, expects: UInt64 = 0,
        until deadline: UInt64 = 0
    ) {
        step = Step(
            thread: 0, kind: kind, object: object, other: other, expected: Bits(low: expects),
            deadline: deadline)
    }

    func writing(_ value: UInt64) -> ModelStep {
        var copy = self
        copy.value = value
        return copy
    }

    var preferring: ModelStep {
        var copy = self
        copy.step.prefersReaders = true
        return copy
    }

    func by(_ thread: Int32) -> ModelStep {
        var copy = self
        copy.step.thread = thread
        if step.kind == .flush || step.kind == .load && step.other >= 0 {
            copy.step.other = ModelStates.buffer + thread
        }
        return copy
    }

    var description: String { "\(step.kind)" }

    /// Whether a thread could be about to do it in this state.
    func isSensible(in states: ModelStates) -> Bool {
        let thread = step.thread
        let waits = states.conditionWaiters.contains(thread) || states.queueWaiters.contains(thread)
        let isAsleep = states.timers[Int(thread)] != 0
        switch step.kind {
        case .reacquire:
            return states.conditionWaiters.contains(thread)
                == (states.timers[Int(thread)] != 0 && step.deadline != 0)
                && !states.queueWaiters.contains(thread)
                && states.timers[Int(thread)] == (isAsleep ? step.deadline : 0)
                || states.conditionWaiters.contains(thread) && step.deadline == 0 && !isAsleep
        case .unpark:
            return !states.conditionWaiters.contains(thread)
                && (states.queueWaiters.contains(thread)
                    ? states.timers[Int(thread)] == step.deadline : !isAsleep)
        case .fire: return !waits && states.timers[Int(thread)] == step.deadline
        case .unlock, .wait, .writeUnlock:
            return states.lockState.owner == thread && !waits && !isAsleep
        case .readUnlock: return states.lockState.readers > 0 && !waits && !isAsleep
        case .writeLock:
            return (states.lockState.requests > 0 || step.prefersReaders) && !waits && !isAsleep
        case .flush: return states.buffered[Int(thread)]
        default: return !waits && !isAsleep
        }
    }

    func isEnabled(in states: ModelStates) -> Bool {
        // A store buffer is drained by its own steps alone.
        if step.kind != .flush, step.kind.drains, states.buffered[Int(step.thread)] { return false }
        return step.isEnabled(in: Model(states))
    }

    /// What a thread sees of its step.
    struct Result: Equatable {
        var kind: StepKind
        var succeeds: Bool
        var waits: Bool
        var woken: UInt64
        var found: UInt64?
    }

    func apply(to states: inout ModelStates, choosing choice: Int32) -> (Result, Footprint) {
        var found: UInt64?
        let before = states
        let model = Model(states)
        let effect = step.apply(to: model, choosing: choice, at: 1)
        states = model.states
        let writesWord = effect.footprint.writes(0) && effect.footprint.count > 0
        switch step.kind {
        case .load: found = effect.isForwarded ? nil : before.value
        case .store: states.value = value
        case .update:
            found = before.value
            states.value = (before.value + 1) % 2
        case .compareExchange:
            found = before.value
            if writesWord { states.value = value }
        case .readClock: found = before.time
        case .bufferedStore: states.buffered[Int(step.thread)] = true
        case .flush:
            states.buffered[Int(step.thread)] = false
            states.value = value
        default: break
        }
        if effect.kind == .fire || effect.kind == .timeout {
            states.time = max(states.time, step.deadline)
        }
        return (
            Result(
                kind: effect.kind, succeeds: effect.succeeds, waits: effect.waits,
                woken: effect.woken, found: found),
            effect.footprint
        )
    }

    /// The choices that there are, -1 alone where there is none.
    func choices(in states: ModelStates) -> [Int32] {
        let set = step.choices(in: Model(states))
        return set == 0 ? [-1] : (0..<3).filter { set & (1 << UInt64($0)) != 0 }.map { Int32($0) }
    }
}

/// Two steps whose footprints do not conflict commute: proved for every kind, every pair and every
/// small state.
@Suite struct CommutationTests {
    /// All states of what a kind of program uses, and all that its threads do.
    private struct Universe {
        var states: [ModelStates]
        var steps: [ModelStep]
    }

    private static let subsets: [UInt64] = Array(0..<8)

    private static func waiters() -> [WaiterState] {
        subsets.flatMap { waiting in
            subsets.filter { $0 & ~waiting == 0 }.map { WaiterState(waiting: waiting, timed: $0) }
        }
    }

    /// Each thread that has a timer has it at 5 or at 7; waiters have one where their wait is
    /// timed.
    private static func timers(_ waiters: WaiterState, sleepers: [UInt64]) -> [[UInt64]] {
        var result: [[UInt64]] = [[]]
        for thread in 0..<3 {
            let bit: UInt64 = 1 << UInt64(thread)
            let options: [UInt64] =
                waiters.waiting & bit != 0 ? (waiters.timed & bit != 0 ? [5, 7] : [0]) : sleepers
            result = result.flatMap { known in options.map { known + [$0] } }
        }
        return result
    }

    private static let universes: [String: Universe] = {
        var result: [String: Universe] = [:]
        let lock = ModelStates.lock
        let condition = ModelStates.condition
        let word = ModelStates.word
        let queue = ModelStates.queue

        var locks: [ModelStates] = []
        for owner in Int32(-1)...2 {
            for readers in Int32(0)...2 where owner < 0 || readers == 0 {
                for requests in Int32(0)...2 where owner >= 0 || readers > 0 || requests <= 1 {
                    locks.append(
                        ModelStates(
                            lockState: LockState(owner: owner, readers: readers, requests: requests)
                        ))
                }
            }
        }
        result["reader-writer locks"] = Universe(
            states: locks,
            steps: [
                ModelStep(.lock, lock), ModelStep(.tryLock, lock), ModelStep(.unlock, lock),
                ModelStep(.readLock, lock),
                ModelStep(.readLock, lock).preferring, ModelStep(.tryReadLock, lock),
                ModelStep(.tryReadLock, lock).preferring, ModelStep(.readUnlock, lock),
                ModelStep(.writeRequest, lock),
                ModelStep(.writeLock, lock), ModelStep(.writeLock, lock).preferring,
                ModelStep(.tryWriteLock, lock),
                ModelStep(.writeUnlock, lock),
            ])

        var conditions: [ModelStates] = []
        for owner in Int32(-1)...2 {
            for waiters in waiters() where owner < 0 || !waiters.contains(owner) {
                for timers in timers(waiters, sleepers: [0, 7]) {
                    conditions.append(
                        ModelStates(
                            lockState: LockState(owner: owner), conditionWaiters: waiters,
                            timers: timers))
                }
            }
        }
        let clock = [
            ModelStep(.arm, until: 5), ModelStep(.arm, until: 7), ModelStep(.fire, until: 5),
            ModelStep(.fire, until: 7),
            ModelStep(.readClock),
        ]
        result["conditions and timers"] = Universe(
            states: conditions,
            steps: clock + [
                ModelStep(.lock, lock), ModelStep(.tryLock, lock), ModelStep(.unlock, lock),
                ModelStep(.wait, condition, lock), ModelStep(.wait, condition, lock, until: 5),
                ModelStep(.reacquire, condition, lock),
                ModelStep(.reacquire, condition, lock, until: 5),
                ModelStep(.reacquire, condition, lock, until: 7), ModelStep(.signal, condition),
                ModelStep(.broadcast, condition),
            ])

        var points: [ModelStates] = []
        for value in UInt64(0)...1 {
            for waiters in waiters() {
                for timers in timers(waiters, sleepers: [0, 7]) {
                    points.append(ModelStates(queueWaiters: waiters, value: value, timers: timers))
                }
            }
        }
        let atomics = [
            ModelStep(.load, word), ModelStep(.store, word).writing(0),
            ModelStep(.store, word).writing(1),
            ModelStep(.update, word), ModelStep(.compareExchange, word, expects: 0).writing(1),
            ModelStep(.compareExchange, word, expects: 1).writing(0),
        ]
        result["wait points, atomics and timers"] = Universe(
            states: points,
            steps: atomics + clock + [
                ModelStep(.park, word, queue, expects: 0),
                ModelStep(.park, word, queue, expects: 1),
                ModelStep(.park, word, queue, expects: 0, until: 5), ModelStep(.unpark, queue),
                ModelStep(.unpark, queue, until: 5), ModelStep(.unpark, queue, until: 7),
                ModelStep(.wake, queue),
                ModelStep(.broadcast, queue),
            ])

        var buffers: [ModelStates] = []
        for value in UInt64(0)...1 {
            for set in subsets {
                buffers.append(
                    ModelStates(
                        value: value, buffered: (0..<3).map { set & (1 << UInt64($0)) != 0 }))
            }
        }
        result["store buffers"] = Universe(
            states: buffers,
            steps: atomics + [
                ModelStep(.load, word, ModelStates.buffer), ModelStep(.bufferedStore, word),
                ModelStep(.flush, word).writing(1),
                ModelStep(.membarrier), ModelStep(.fence),
            ])
        return result
    }()

    /// What optimality is given away: steps that conflict and commute, in all states where they can
    /// be taken, and in some.
    private static let givenAway: [String: (always: String, sometimes: String)] = [
        "reader-writer locks": (
            always: """
            lock and readUnlock, readUnlock and tryLock
            """,
            sometimes: """
            lock and tryReadLock, lock and tryWriteLock, lock and writeRequest, readLock and \
            tryWriteLock, readLock and writeRequest, readUnlock and tryWriteLock, readUnlock \
            and writeRequest, tryLock and tryReadLock, tryLock and tryWriteLock, tryLock and \
            writeRequest, tryReadLock and tryWriteLock, tryReadLock and unlock, tryReadLock \
            and writeLock, tryReadLock and writeRequest, tryReadLock and writeUnlock, \
            tryWriteLock and tryWriteLock, tryWriteLock and writeRequest, writeRequest and \
            writeRequest
            """
        ),
        "conditions and timers": (
            always: """
            arm and arm, arm and broadcast, arm and readClock, arm and signal, arm and wait, \
            broadcast and fire, broadcast and readClock, fire and fire, fire and reacquire, \
            fire and signal, readClock and signal, readClock and wait
            """,
            sometimes: """
            arm and fire, arm and reacquire, broadcast and broadcast, broadcast and signal, \
            reacquire and reacquire, reacquire and wait, signal and signal
            """
        ),
        "wait points, atomics and timers": (
            always: """
            arm and arm, arm and broadcast, arm and park, arm and readClock, arm and wake, \
            broadcast and fire, broadcast and readClock, fire and fire, fire and unpark, \
            fire and wake, park and park, park and readClock, readClock and wake, unpark and \
            unpark
            """,
            sometimes: """
            arm and fire, arm and unpark, broadcast and broadcast, broadcast and wake, \
            compareExchange and store, load and store, park and store, park and unpark, \
            store and store, wake and wake
            """
        ),
        "store buffers": (
            always: """
            flush and flush
            """,
            sometimes: """
            compareExchange and flush, compareExchange and store, flush and load, flush and \
            store, load and store, store and store
            """
        ),
    ]

    /// Two steps in one state: whether they conflict, and whether they commute.
    private struct Pair {
        var conflicts: Bool
        var commutes: Bool
    }

    private func examine(_ first: ModelStep, _ second: ModelStep, _ start: ModelStates) -> [(
        Pair, String
    )] {
        var found: [(Pair, String)] = []
        for firstChoice in first.choices(in: start) {
            for secondChoice in second.choices(in: start) {
                var (one, other) = (start, start)
                let (firstAlone, firstTouches) = first.apply(to: &one, choosing: firstChoice)
                let (secondAlone, secondTouches) = second.apply(to: &other, choosing: secondChoice)
                let canFollow =
                    second.isEnabled(in: one) && second.choices(in: one).contains(secondChoice)
                let canPrecede =
                    first.isEnabled(in: other) && first.choices(in: other).contains(firstChoice)
                var commutes = canFollow && canPrecede
                if commutes {
                    let (secondAfter, touchesAfter) = second.apply(to: &one, choosing: secondChoice)
                    let (firstAfter, _) = first.apply(to: &other, choosing: firstChoice)
                    commutes =
                        one == other && firstAfter == firstAlone && secondAfter == secondAlone
                        && !firstTouches.conflicts(with: touchesAfter) == !firstTouches.conflicts(
                            with: secondTouches)
                }
                found.append(
                    (
                        Pair(
                            conflicts: firstTouches.conflicts(with: secondTouches),
                            commutes: commutes),
                        "\(first) and \(second) in \(start)"
                    ))
            }
        }
        return found
    }

    @Test(arguments: [
        "reader-writer locks", "conditions and timers", "wait points, atomics and timers",
        "store buffers",
    ])
    func `steps whose footprints do not conflict commute`(_ name: String) {
        let universe = Self.universes[name]!
        var pairs = 0
        var givenAway: Set<String> = []
        var alwaysCommutes: [String: Bool] = [:]
        for start in universe.states {
            for first in universe.steps.map({ $0.by(0) })
            where first.isSensible(in: start) && first.isEnabled(in: start) {
                for second in universe.steps.map({ $0.by(1) }) where second.isSensible(in: start) {
                    guard second.isEnabled(in: start) else {
                        expectNotEnabled(second, by: first, start)
                        continue
                    }
                    for (pair, text) in examine(first, second, start) {
                        pairs += 1
                        if !pair.conflicts, !pair.commutes {
                            Issue.record("\(text) do not conflict and do not commute")
                        }
                        let kinds = [first.step.kind, second.step.kind].map { "\($0)" }.sorted()
                            .joined(
                                separator: " and ")
                        if pair.conflicts {
                            alwaysCommutes[kinds] = (alwaysCommutes[kinds] ?? true) && pair.commutes
                        }
                        if pair.conflicts, pair.commutes { givenAway.insert(kinds) }
                    }
                }
            }
        }
        #expect(pairs > 100)
        let always = Set(alwaysCommutes.filter(\.value).keys)
        let sometimes = givenAway.subtracting(always)
        #expect(always.sorted().joined(separator: ", ") == Self.givenAway[name]!.always)
        #expect(sometimes.sorted().joined(separator: ", ") == Self.givenAway[name]!.sometimes)
        print("\(name): \(universe.states.count) states, \(pairs) pairs")
    }

    /// A step that another one makes possible conflicts with it, or is one that it woke.
    private func expectNotEnabled(_ second: ModelStep, by first: ModelStep, _ start: ModelStates) {
        for choice in first.choices(in: start) {
            var states = start
            let (result, touches) = first.apply(to: &states, choosing: choice)
            guard second.isEnabled(in: states),
                result.woken & (1 << UInt64(second.step.thread)) == 0
            else { continue }
            for later in second.choices(in: states) {
                var after = states
                let (_, touchesAfter) = second.apply(to: &after, choosing: later)
                if !touches.conflicts(with: touchesAfter) {
                    Issue.record(
                        "\(first) makes \(second) possible, with which it does not conflict, in \(start)"
                    )
                }
            }
        }
    }
}
