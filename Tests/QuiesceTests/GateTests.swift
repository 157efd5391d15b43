// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// A gate with something behind it that only those inside may touch until it is closed.
final class Guarded: Sendable {
    let gate: Gate
    let value = Unsynchronized(0)

    init(whenClosing: (@Sendable () -> Void)? = nil) {
        gate = Gate(name: "gate", whenClosing: whenClosing)
        value.label("value")
    }

    /// Reads inside, and says whether it got in.
    @discardableResult
    func use() -> Bool { gate.withEntry { _ in _ = value.load() } != nil }

    /// Closes, and then writes what nobody may be reading.
    func close() {
        closeGate()
        value.store(1)
    }

    func closeGate() {
        do { try gate.close() } catch { expect(false, "\(error)") }
    }
}

@Suite struct GateTests {
    // MARK: Explored

    static let closing: Program = { world in
        let guarded = Guarded()
        world.thread("user") { guarded.use() }
        world.thread("closer") { guarded.close() }
        world.afterwards { expect(guarded.gate.isClosed) }
    }

    @Test func `after close returned nobody is inside`() throws {
        try verify("close", Self.closing)
    }

    static let twoUsers: Program = { world in
        let guarded = Guarded()
        world.thread("first") { guarded.use() }
        world.thread("second") { guarded.use() }
        world.thread("closer") { guarded.close() }
    }

    @Test func `two who are inside are both waited for`() throws {
        try verify("two users", Self.twoUsers)
    }

    static let twoClosers: Program = { world in
        let guarded = Guarded()
        _ = guarded.gate.withEntry { _ in
            for closer in ["one", "other"] {
                world.thread(closer) {
                    guarded.closeGate()
                    _ = guarded.value.load()
                }
            }
            guarded.value.store(1)
        }
    }

    @Test func `concurrent closers all wait`() throws {
        try verify("two closers", Self.twoClosers)
    }

    static let several: Program = { world in
        let guarded = [Guarded(), Guarded()]
        world.thread("user") {
            guarded[0].use()
            guarded[1].use()
        }
        world.thread("closer") {
            do { try Gate.close(guarded.map(\.gate)) } catch { expect(false, "\(error)") }
            for one in guarded { one.value.store(1) }
        }
        world.afterwards { for one in guarded { expect(one.gate.isClosed) } }
    }

    @Test func `after several gates were closed nobody is inside any`() throws {
        try verify("several", Self.several)
    }

    /// The user of the first gate leaves it when the second is closing.
    static let twoSteps: Program = { world in
        let (first, second) = (Guarded(), Guarded())
        world.thread("user") {
            first.gate.withEntry { _ in
                spin(while: { !second.gate.isClosing })
                _ = first.value.load()
            }
        }
        world.thread("closer") {
            do {
                try first.gate.beginClosing()
                try second.gate.beginClosing()
            } catch { expect(false, "\(error)") }
            expect(!first.use() && !second.use())
            first.close()
            second.close()
        }
    }

    @Test func `closing begins in one place and ends in another`() throws {
        try verify("two steps", Self.twoSteps)
    }

    @Test func `who is inside one of several gates closes none`() throws {
        let gates = [Gate(name: "one"), Gate(name: "other")]
        gates[1].withEntry { _ in
            #expect(throws: QuiesceError.self) { try Gate.close(gates) }
            #expect(throws: QuiesceError.self) { try gates[1].beginClosing() }
        }
        #expect(!gates[0].isClosing && !gates[1].isClosing)
        try Gate.close(gates)
        try Gate.close(gates)
        #expect(gates.allSatisfy { $0.isClosed })
        #expect(try !gates[0].beginClosing())
    }

    @Test func `a task closes several gates`() async throws {
        let gates = (0..<3).map { Gate(name: "gate \($0)") }
        try await Gate.close(gates)
        #expect(gates.allSatisfy { $0.isClosed })
        let entered: Void? = gates[2].withEntry { _ in }
        #expect(entered == nil)
    }

    static let nested: Program = { world in
        let guarded = Guarded()
        let other = Gate(name: "other")
        world.thread("user") {
            other.withEntry { _ in
                _ = guarded.gate.withEntry { _ in
                    guarded.use()
                    _ = guarded.value.load()
                }
            }
        }
        world.thread("closer") { guarded.close() }
    }

    @Test func `entries nest, in one gate and in several`() throws {
        try verify("nested", Self.nested)
    }

    static let counted: Program = { world in
        let guarded = Guarded()
        let others = (0..<Presence.depthLimit).map { Gate(name: "other \($0)") }
        // The slots are full: the entry counts in the gate itself.
        enter(others[...]) {
            world.thread("closer") { guarded.close() }
            guarded.use()
        }
    }

    private static func enter(_ gates: ArraySlice<Gate>, _ body: () -> Void) {
        guard let gate = gates.first else { return body() }
        _ = gate.withEntry { _ in enter(gates.dropFirst(), body) }
    }

    @Test func `an entry that finds no slot counts in the gate itself`() throws {
        try verify("counted", Self.counted)
    }

    static let early: Program = { world in
        let guarded = Guarded()
        let done = Gate(name: "done")
        world.thread("user") {
            _ = guarded.gate.withOwnedEntry { entry in
                _ = guarded.value.load()
                entry.leave()
                // Would wait for ever if the closer waited for the whole scope.
                if !guarded.gate.isClosing { return }
                guarded.closeGate()
                try? done.close()
            }
        }
        world.thread("closer") { guarded.close() }
    }

    @Test func `an entry that is left early is not waited for`() throws {
        try verify("left early", Self.early)
    }

    static let outliving: Program = { world in
        let guarded = Guarded()
        var kept: Gate.Entry?
        _ = guarded.gate.withOwnedEntry { entry in kept = consume entry }
        world.thread("closer") { guarded.close() }
        world.thread("refused") { guarded.use() }
        _ = guarded.value.load()
        kept.take()?.leave()
    }

    @Test func `an owned entry that outlives its scope is waited for`() throws {
        try verify("outliving", Self.outliving)
    }

    static let fromInside: Program = { world in
        let guarded = Guarded()
        let winners = Atomic(0)
        let operation: @Sendable (consuming Gate.Entry) -> Void = { entry in
            _ = guarded.value.load()
            do {
                if let entry = try entry.closeFromInside() {
                    winners.wrappingAdd(1, ordering: .relaxed)
                    guarded.value.store(1)
                    entry.leave()
                } else {
                    // The winner's whole operation is over.
                    _ = guarded.value.load()
                }
            } catch { expect(false, "\(error)") }
        }
        _ = guarded.gate.withOwnedEntry { entry in
            world.thread("other") { _ = guarded.gate.withOwnedEntry(operation) }
            operation(entry)
        }
        world.afterwards { expect(winners.load(ordering: .relaxed) == 1 && guarded.gate.isClosing) }
    }

    @Test func `closing from inside has one winner, and losers wait for its whole operation`()
        throws
    {
        try verify("from inside", Self.fromInside)
    }

    static let fromInsideAndOutside: Program = { world in
        let guarded = Guarded()
        _ = guarded.gate.withOwnedEntry { entry in
            world.thread("closer") {
                guarded.closeGate()
                _ = guarded.value.load()
            }
            do {
                let entry = try entry.closeFromInside()
                expect(entry != nil, "nobody else closes from inside")
                guarded.value.store(1)
            } catch { expect(false, "\(error)") }
        }
    }

    @Test func `closing from inside and from outside do not wait for each other`() throws {
        try verify("from inside and outside", Self.fromInsideAndOutside)
    }

    static let woken: Program = { world in
        let arrivals = WaitQueue(name: "arrivals")
        let guarded = Guarded(whenClosing: { arrivals.close() })
        world.thread("sleeper") {
            _ = guarded.gate.withEntry { _ in
                do throws(QuiesceError) {
                    try arrivals.wait { false }
                } catch { expect(error == .closed("arrivals")) }
            }
        }
        world.thread("closer") { guarded.close() }
    }

    @Test func `the closing wakes what sleeps inside`() throws {
        try verify("sleeper", Self.woken)
    }

    static let told: Program = { world in
        let told = Unsynchronized<Int>.Shared()
        let gate = Gate(name: "gate", whenClosing: { told.value.store(1) })
        for name in ["one", "other"] {
            world.thread(name) {
                do { try gate.close() } catch { expect(false, "\(error)") }
                expect(told.value.load() == 1, "closed before the sleepers were told")
            }
        }
    }

    @Test func `nobody has closed before the sleepers were told`() throws {
        try verify("told", Self.told)
    }

    /// Two close from inside, one of them with a deadline, which may pass at any time.
    static let givingUp: Program = { world in
        let gate = Gate(name: "gate")
        let over = Atomic<Int>.Shared()
        _ = gate.withOwnedEntry { entry in
            world.thread("hasty") {
                _ = gate.withOwnedEntry { entry in
                    guard
                        let entry = try? entry.closeFromInside(
                            until: WorldClock.now() + .seconds(1))
                    else { return }
                    over.value.wrappingAdd(1, ordering: .relaxed)
                    entry.leave()
                }
            }
            do {
                if let entry = try entry.closeFromInside() {
                    over.value.wrappingAdd(1, ordering: .relaxed)
                    entry.leave()
                } else {
                    expect(
                        over.value.load(ordering: .relaxed) == 1, "it is over, and nobody did it")
                }
            } catch { expect(false, "\(error)") }
        }
    }

    @Test func `when the winner gives up another takes its place`() throws {
        // To the end it takes minutes.
        try verify("giving up", preemptions: 2, Self.givingUp)
    }

    static let late: Program = { world in
        let guarded = Guarded()
        let isOver = WaitPoint()
        world.thread("user") {
            _ = guarded.gate.withEntry { _ in
                while isOver.word.load(ordering: .acquiring) == 0 { isOver.wait(while: 0) }
                _ = guarded.value.load()
            }
        }
        world.thread("closer") {
            var hasFailed = false
            do throws(QuiesceError) {
                try guarded.gate.close(until: WorldClock.now() + .seconds(1))
            } catch {
                guard case .timedOut(_, let occupants, _) = error else {
                    return expect(false, "\(error)")
                }
                expect(occupants.map(\.name) == ["thread user"] || occupants.isEmpty, "\(error)")
                hasFailed = true
            }
            expect(guarded.gate.isClosing && guarded.gate.isClosed == !hasFailed)
            expect(!guarded.use(), "the gate stays closing")
            isOver.word.store(1, ordering: .releasing)
            isOver.wake()
            guarded.close()
        }
    }

    @Test func `a deadline names who is inside and leaves the gate closing`() throws {
        try verify("deadline", Self.late)
    }

    // MARK: Mutants

    static let mutants: [Mutant] = [
        // Enter: announce, then look.
        Mutant(closing, "GateTests.swift", "gate.withEntry", .skipped, of: .asymmetricStore),
        Mutant(closing, "GateTests.swift", "gate.withEntry", .sees(0), of: .load),
        // Leave: clear the slot, behind what was done inside, then wake.
        Mutant(closing, "Gate.swift", "Presence.leave(", .skipped, of: .asymmetricStore),
        Mutant(closing, "Gate.swift", "Presence.leave(", .relaxed, of: .asymmetricStore),
        Mutant(closing, "Gate.swift", "Presence.leave(", .sees(0), of: .load),
        // Close: say so, barrier, look.
        Mutant(closing, "Gate+Closing.swift", "state.bitwiseOr(closingBits", .skipped),
        Mutant(closing, "Gate+Closing.swift", "{ membarrier() }", .skipped),
        Mutant(several, "Gate+Closing.swift", "membarrier()  // for all", .skipped),
        Mutant(twoSteps, "Gate+Closing.swift", "state.bitwiseOr(closingBits", .skipped),
        Mutant(closing, "Gate+Closing.swift", "Presence.isAnyoneInside(key)", .sees(0)),
        Mutant(closing, "Gate+Closing.swift", "Presence.isAnyoneInside(key)", .relaxed),
        Mutant(told, "Gate+Closing.swift", "state.bitwiseOr(State.told", .skipped),
        Mutant(
            told, "Gate+Closing.swift", "let found = state.load(ordering: .sequentiallyConsistent)",
            .sees(5)),
        // Counted entries.
        Mutant(counted, "GateEntry.swift", "state.compareExchange", .skipped),
        Mutant(counted, "GateEntry.swift", "wrappingSubtract(ticket.end()", .skipped),
        Mutant(counted, "GateEntry.swift", "wrappingSubtract(ticket.end()", .relaxed),
        Mutant(outliving, "GateEntry.swift", "wrappingSubtract(ticket.end()", .skipped),
        // From inside.
        Mutant(fromInside, "Gate+Closing.swift", "state.wrappingAdd(State.entry", .skipped),
        Mutant(
            fromInside, "Gate+Closing.swift", "let (isExchanged, now) = state.compareExchange(",
            .unconditional),
        Mutant(
            fromInside, "Gate+Closing.swift", "let (isExchanged, now) = state.compareExchange(",
            .skipped),
        Mutant(
            fromInsideAndOutside, "Gate+Closing.swift", "state.wrappingAdd(State.entry", .skipped),
        Mutant(givingUp, "GateEntry.swift", "wrappingSubtract(ticket.end()", .skipped),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }
}

extension Unsynchronized where Value == Int {
    fileprivate final class Shared: Sendable {
        let value = Unsynchronized(0)

        init() { value.label("told") }
    }
}

extension Atomic where Value == Int {
    fileprivate final class Shared: Sendable {
        let value = Atomic(0)

        init() { value.label("over") }
    }
}
