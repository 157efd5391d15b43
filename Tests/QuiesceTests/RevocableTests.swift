// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// A value that says when it is destroyed.
private struct Mapping: ~Copyable, Sendable {
    let register: Register

    deinit { register.unmap() }

    func read() { _ = register.memory.load() }
}

private final class Register: Sendable {
    let memory = Unsynchronized(0)
    let unmapped = Atomic(0)

    init() {
        memory.label("register")
        unmapped.label("unmapped")
    }

    func unmap() {
        // Plain: every access comes before.
        memory.store(-1)
        unmapped.wrappingAdd(1, ordering: .relaxed)
    }

    var isUnmapped: Bool { unmapped.load(ordering: .relaxed) == 1 }
}

@Suite struct RevocableTests {
    private static func revoke<Value: ~Copyable>(_ value: Revocable<Value>) -> Bool {
        do { return try value.close() } catch {
            expect(false, "\(error)")
            return false
        }
    }

    private static let revoking: Program = { world in
        let register = Register()
        let value = Revocable(Mapping(register: register))
        world.thread("user") { value.withValue { $0.read() } }
        world.thread("revoker") {
            expect(revoke(value), "the only one who revokes destroys")
            expect(register.isUnmapped)
        }
    }

    @Test func `a revoked value is destroyed after its last user`() throws {
        try verify("revoke", Self.revoking)
    }

    private static let twoRevokers: Program = { world in
        let register = Register()
        let value = Revocable(Mapping(register: register))
        let winners = Atomic(0)
        for name in ["one", "other"] {
            world.thread(name) {
                if revoke(value) { winners.wrappingAdd(1, ordering: .relaxed) }
                // A thread that lost waits for the destruction too.
                expect(register.unmapped.load(ordering: .relaxed) == 1)
                _ = register.memory.load()
            }
        }
        world.afterwards { expect(winners.load(ordering: .relaxed) == 1) }
    }

    @Test func `of two who revoke one destroys, and both return after that`() throws {
        try verify("two revokers", Self.twoRevokers)
    }

    private static let proof: Program = { world in
        let register = Register()
        let gate = Gate(name: "device")
        let first = Revocable(Mapping(register: register), gate: gate)
        let second = Revocable(Mapping(register: Register()), gate: gate)
        world.thread("user") {
            gate.withEntry { entry in
                first.withValue(in: entry) { $0.read() }
                second.withValue(in: entry) { $0.read() }
            }
        }
        world.thread("unbind") {
            _ = revoke(first)
            expect(register.isUnmapped)
            _ = revoke(second)
        }
    }

    @Test func `an entry of the gate reaches every value behind it`() throws {
        try verify("proof", Self.proof)
    }

    static let mutants: [Mutant] = [
        Mutant(revoking, "Gate.swift", "Presence.leave(", .relaxed, of: .asymmetricStore),
        Mutant(revoking, "Gate+Closing.swift", "membarrier()", .skipped),
        Mutant(proof, "RevocableTests.swift", "gate.withEntry", .skipped, of: .asymmetricStore),
        Mutant(proof, "RevocableTests.swift", "gate.withEntry", .sees(0), of: .load),
        Mutant(twoRevokers, "Revocable.swift", "fate.compareExchange", .unconditional),
        Mutant(twoRevokers, "Revocable.swift", "fate.store(Fate.destroyed", .skipped),
        Mutant(twoRevokers, "Revocable.swift", "fate.store(Fate.destroyed", .relaxed),
        Mutant(
            twoRevokers, "Revocable.swift", "fate.load(ordering: .sequentiallyConsistent)", .sees(2)
        ),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }

    // MARK: Tasks

    /// The value is there until the task that uses it has ended its use, however often it suspends.
    @Test func `a task keeps a value while it is suspended`() async throws {
        try await verifyTasks("revoke under a task", granularity: .coarse) { _ in
            let register = Register()
            let value = Revocable(Mapping(register: register))
            let user = Task(name: "user") {
                await value.withValue { (mapping: borrowing Mapping) async in
                    mapping.read()
                    await Task.yield()
                    mapping.read()
                }
            }
            do {
                let isMine = try await value.close()
                expect(isMine, "the only one who revokes destroys")
            } catch { expect(false, "\(error)") }
            expect(register.isUnmapped)
            _ = await user.value
        }
    }

    @Test func `a task does not reach a value that is revoked`() async throws {
        let value = Revocable(1)
        #expect(await value.withValue { (number: Int) async in number + 1 } == 2)
        try await value.close()
        #expect(await value.withValue { (number: Int) async in number + 1 } == nil)
    }

    // MARK: Misuse

    @Test func `revoking from inside throws, and the value lives on`() throws {
        let value = Revocable(1)
        _ = value.withValue { _ in #expect(throws: QuiesceError.self) { try value.close() } }
        #expect(value.withValue { $0 } == 1)
        #expect(try value.close())
    }

    @Test func `a value that revokes itself as it is destroyed is told that it waits for itself`()
        throws
    {
        let cycle = Cycle()
        #expect(try cycle.value.close())
        #expect(cycle.wasRefused)
    }

    private final class Cycle: Sendable {
        let isRefused = Atomic(false)
        var wasRefused: Bool { isRefused.load(ordering: .relaxed) }
        var value: Revocable<Suicidal> { holder.withLock { $0! } }
        private let holder = Mutex<Revocable<Suicidal>?>(nil)

        init() { holder.withLock { $0 = Revocable(Suicidal(owner: self)) } }
    }

    private struct Suicidal: ~Copyable, Sendable {
        unowned let owner: Cycle

        deinit {
            do throws(QuiesceError) { try owner.value.close() } catch {
                if case .inside = error { owner.isRefused.store(true, ordering: .relaxed) }
            }
        }
    }

    @Test func `an entry of another gate traps`() async {
        await #expect(processExitsWith: .failure) {
            let value = Revocable(1)
            Gate().withEntry { entry in value.withValue(in: entry) { _ in } }
        }
    }
}
