// SPDX-License-Identifier: Apache-2.0

import Foundation
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// Gates on real threads and tasks: misuse, deadlines, entries across an await.
@Suite struct GateUseTests {
    @Test func `a closed gate lets nobody in, and closing again returns`() throws {
        let gate = Gate()
        #expect(gate.withEntry { _ in 1 } == 1)
        try gate.close()
        try gate.close()
        #expect(gate.withEntry { _ in 1 } == nil)
        #expect(gate.isClosed)
    }

    @Test func `an error of the body leaves the gate`() throws {
        struct Failure: Error {}
        let gate = Gate()
        #expect(throws: Failure.self) { _ = try gate.withEntry { _ in throw Failure() } }
        try gate.close()
    }

    @Test func `closing from inside throws, and the gate stays open`() throws {
        let gate = Gate(name: "camera")
        _ = gate.withEntry { _ in
            do throws(QuiesceError) {
                try gate.close()
                Issue.record("it closed")
            } catch {
                #expect(error.description.hasPrefix("camera was closed from inside"))
            }
        }
        #expect(!gate.isClosing)
        try gate.close()
    }

    @Test func `closing from inside is told also where the entry found no slot`() throws {
        let gate = Gate()
        enter((0..<Presence.depthLimit).map { _ in Gate() }[...]) {
            _ = gate.withEntry { _ in #expect(throws: QuiesceError.self) { try gate.close() } }
        }
        try gate.close()
    }

    private func enter(_ gates: ArraySlice<Gate>, _ body: () -> Void) {
        guard let gate = gates.first else { return body() }
        _ = gate.withEntry { _ in enter(gates.dropFirst(), body) }
    }

    @Test func `closing from inside an entry within an entry throws`() throws {
        let gate = Gate()
        _ = gate.withEntry { _ in
            _ = gate.withOwnedEntry { entry in
                do {
                    _ = try entry.closeFromInside()
                    Issue.record("it closed")
                } catch {}
            }
        }
        #expect(!gate.isClosing)
    }

    @Test func `a deadline names the thread that is inside`() throws {
        let gate = Gate(name: "camera")
        let (entered, finish) = (EventCounter(), EventCounter())
        let reader = try WorldThread.spawn(name: "slow reader") {
            _ = gate.withEntry { _ in
                try? entered.signal()
                _ = try? finish.take()
            }
        }
        _ = try entered.take()
        do throws(QuiesceError) {
            try gate.close(until: WorldClock.now() + .milliseconds(1))
            Issue.record("it closed")
        } catch {
            guard case .timedOut(_, let occupants, _) = error else { throw error }
            #expect(
                occupants.count == 1 && occupants[0].name.contains("\"slow reader\""), "\(error)")
            #expect(!occupants[0].isExact)
        }
        #expect(gate.isClosing && !gate.isClosed)
        try finish.signal()
        try gate.close()
        reader.join()
    }

    // MARK: Refused entries

    /// Runs `body` while somebody is inside and somebody sleeps until the gate is closed. `body` is
    /// given who sleeps: one who is woken and sleeps again is another waiter.
    private func withCloserAsleep(
        _ gate: Gate, _ body: (_ sleeper: () -> Waiter?) throws -> Void
    ) throws {
        let (entered, finish) = (EventCounter(), EventCounter())
        let inside = try WorldThread.spawn {
            _ = gate.withEntry { _ in
                try? entered.signal()
                _ = try? finish.take()
            }
        }
        _ = try entered.take()
        let closer = try WorldThread.spawn { try? gate.close() }
        waitUntil { gate.waiters.waitingCount == 1 }
        try body { gate.waiters.line.withLock { $0.waiters.first } }
        try finish.signal()
        closer.join()
        inside.join()
        #expect(gate.isClosed)
    }

    @Test func `an entry that is refused does not wake closers`() throws {
        let gate = Gate()
        try withCloserAsleep(gate) { sleeper in
            let first = try #require(sleeper())
            for _ in 0..<100 {
                let entered: Void? = gate.withEntry { _ in }
                let owned: Void? = gate.withOwnedEntry { _ in }
                #expect(entered == nil && owned == nil && sleeper() === first)
            }
        }
    }

    @Test func `an entry that is refused inside of other gates does not wake closers`()
        throws
    {
        let gate = Gate()
        try withCloserAsleep(gate) { sleeper in
            let first = try #require(sleeper())
            for depth in 1...Presence.depthLimit {
                enter((0..<depth).map { _ in Gate() }[...]) {
                    let entered: Void? = gate.withEntry { _ in }
                    #expect(entered == nil && sleeper() === first)
                }
            }
        }
    }

    @Test func `an entry that is refused while somebody listens does not wake closers`()
        throws
    {
        let gate = Gate()
        try withCloserAsleep(gate) { sleeper in
            let first = try #require(sleeper())
            PassiveListener().listen {
                let entered: Void? = gate.withEntry { _ in }
                #expect(entered == nil && sleeper() === first)
            }
        }
    }

    // MARK: Entries that move

    @Test func `an owned entry that outlives its scope keeps the gate from closing`() throws {
        let (gate, other) = (Gate(), Gate())
        var kept: Gate.Entry?
        _ = gate.withOwnedEntry { entry in kept = consume entry }
        _ = other.withEntry { _ in
            // Entries of two gates that end in another order than they began.
            _ = gate.withOwnedEntry { inner in inner.leave() }
            #expect(throws: QuiesceError.self) { try other.close() }
        }
        try expectAwaited(gate, "an owned entry that outlived its scope")
        kept.take()?.leave()
        try gate.close()
        try other.close()
    }

    /// Closing waits, and is told who is inside.
    private func expectAwaited(_ gate: Gate, _ name: String) throws {
        do throws(QuiesceError) {
            try gate.close(until: WorldClock.now() + .milliseconds(1))
            Issue.record("it closed")
        } catch {
            guard case .timedOut(_, let occupants, _) = error else { throw error }
            #expect(occupants.map(\.name) == [name])
        }
    }

    /// Runs `body` on a thread of its own, which ends.
    private func onThread(_ body: () throws -> Void) throws {
        try withoutActuallyEscaping(body) { body in
            nonisolated(unsafe) let body = body
            let failure = Mutex<(any Error)?>(nil)
            let thread = try WorldThread.spawn {
                do { unsafe try body() } catch { failure.withLock { $0 = error } }
            }
            thread.join()
            if let error = failure.withLock({ $0 }) { throw error }
        }
    }

    @Test func `an entry that moved on does not count for the thread that entered`() throws {
        let gate = Gate()
        var kept: Gate.Entry?
        try onThread {
            _ = gate.withOwnedEntry { entry in kept = consume entry }
            // It is with the thread that waits for this one.
            try expectAwaited(gate, "an owned entry that outlived its scope")
        }
        // The thread's number is given out again.
        try onThread { try expectAwaited(gate, "an owned entry that outlived its scope") }
        kept.take()?.leave()
        try gate.close()
    }

    @Test func `an entry that ends on another thread leaves its scope's thread inside`() throws {
        let gate = Gate()
        _ = gate.withOwnedEntry { entry in
            var moved: Gate.Entry? = consume entry
            #expect(throws: QuiesceError.self) { try gate.close() }
            do {
                try onThread { moved.take()?.leave() }
                // Nobody is inside any more.
                try gate.close()
            } catch { Issue.record(error) }
        }
        #expect(gate.isClosed)
    }

    @Test func `the thread that entered by an error does not count as inside`() throws {
        struct Failure: Error {}
        let gate = Gate()
        var kept: Gate.Entry?
        #expect(throws: Failure.self) {
            _ = try gate.withOwnedEntry { entry throws(Failure) in
                kept = consume entry
                throw Failure()
            }
        }
        try expectAwaited(gate, "an owned entry that outlived its scope")
        kept.take()?.leave()
        try gate.close()
    }

    @Test func `closing from what is called when the gate closes throws`() throws {
        let refused = Mutex(false)
        let holder = Mutex<Gate?>(nil)
        let gate = Gate(whenClosing: {
            do throws(QuiesceError) { try holder.withLock { $0 }?.close() } catch {
                if case .inside = error { refused.withLock { $0 = true } }
            }
        })
        holder.withLock { $0 = gate }
        try gate.close()
        #expect(refused.withLock { $0 } && gate.isClosed)
        holder.withLock { $0 = nil }
    }

    // MARK: Tasks

    @Test func `a child that closes while its parent closes from inside is told`() async throws {
        let gate = Gate()
        let (entered, finish) = (EventCounter(), EventCounter())
        _ = try WorldThread.spawn {
            _ = gate.withEntry { _ in
                try? entered.signal()
                _ = try? finish.take()
            }
        }
        _ = try await entered.take()
        await gate.withTaskOwnedEntry { entry in
            async let child: Bool = {
                while !gate.isClosing { await Task.yield() }
                do { try await gate.close() } catch {
                    if case QuiesceError.inside = error { return true }
                }
                return false
            }()
            let ender = Task.detached {
                while !gate.isClosing { await Task.yield() }
                try? finish.signal()
            }
            let winner = try? await entry.closeFromInside()
            winner?.leave()
            #expect(await child, "it waits for its own parent")
            await ender.value
        }
        try await gate.close()
    }

    @Test func `an entry across an await is waited for`() async throws {
        let gate = Gate()
        let (entered, finish) = (EventCounter(), EventCounter())
        let isOver = Mutex(false)
        let user = Task {
            await gate.withTaskEntry { _ in
                try? entered.signal()
                _ = try? await finish.take()
                await Task.yield()
                isOver.withLock { $0 = true }
                return 7
            }
        }
        _ = try await entered.take()
        let closer = Task { try await gate.close() }
        try finish.signal()
        try await closer.value
        #expect(isOver.withLock { $0 })
        #expect(await user.value == 7)
        #expect(await gate.withTaskEntry { _ in 1 } == nil)
    }

    @Test func `a task that closes from inside is told, and its children are`() async throws {
        let gate = Gate()
        await gate.withTaskEntry { _ in
            await #expect(throws: QuiesceError.self) { try await gate.close() }
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    await #expect(throws: QuiesceError.self) { try await gate.close() }
                }
            }
        }
        #expect(!gate.isClosing)
        try await gate.close()
    }

    @Test func `a task started inside can close the gate once the entry is over`() async throws {
        let gate = Gate()
        let left = EventCounter()
        let started = await gate.withTaskEntry { _ in
            Task {
                _ = try await left.take()
                try await gate.close()
            }
        }
        try left.signal()
        try await started?.value
        #expect(gate.isClosed)
    }

    @Test func `a deadline names the task that is inside, and since when`() async throws {
        let gate = Gate(name: "session")
        let (entered, finish) = (EventCounter(), EventCounter())
        let before = ContinuousClock.now
        let user = Task(name: "uploader") {
            await gate.withTaskEntry { _ in
                try? entered.signal()
                _ = try? await finish.take()
            }
        }
        _ = try await entered.take()
        do {
            try await gate.close(until: WorldClock.now() + .milliseconds(1))
            Issue.record("it closed")
        } catch {
            guard case QuiesceError.timedOut(_, let occupants, _) = error else { throw error }
            #expect(occupants.map(\.name) == ["task \"uploader\""])
            #expect(occupants[0].isExact && occupants[0].since >= before)
        }
        try finish.signal()
        try await gate.close()
        _ = await user.value
    }

    @Test func `a cancelled close leaves the gate closing`() async throws {
        let gate = Gate()
        let (entered, finish) = (EventCounter(), EventCounter())
        let user = Task {
            await gate.withTaskEntry { _ in
                try? entered.signal()
                _ = try? await finish.take()
            }
        }
        _ = try await entered.take()
        let closer = Task { try await gate.close() }
        closer.cancel()
        do {
            try await closer.value
            Issue.record("it closed")
        } catch {
            guard error is CancellationError else { throw error }
        }
        #expect(gate.isClosing)
        try finish.signal()
        try await gate.close()
        _ = await user.value
    }

    @Test func `of tasks that close from inside one wins, and the others wait for it`() async throws
    {
        let gate = Gate()
        let together = WaitQueue()
        let shared = Contest()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    _ = await gate.withTaskOwnedEntry { entry in
                        shared.inside.wrappingAdd(1, ordering: .sequentiallyConsistent)
                        together.wake()
                        try? await together.wait {
                            shared.inside.load(ordering: .sequentiallyConsistent) == 4
                        }
                        if let entry = try? await entry.closeFromInside() {
                            shared.winners.wrappingAdd(1, ordering: .relaxed)
                            await Task.yield()
                            shared.isOver.store(true, ordering: .releasing)
                            entry.leave()
                        } else {
                            #expect(shared.wasOver)
                        }
                    }
                }
            }
        }
        #expect(shared.winnerCount == 1)
        try await gate.close()
    }

    private final class Contest: Sendable {
        let inside = Atomic(0)
        let winners = Atomic(0)
        let isOver = Atomic(false)

        var wasOver: Bool { isOver.load(ordering: .acquiring) }
        var winnerCount: Int { winners.load(ordering: .relaxed) }
    }

    // MARK: Threads of all kinds

    @Test func `threads that Substrate did not make take part`() throws {
        let gate = Gate()
        let (entered, finish) = (EventCounter(), DispatchSemaphore(value: 0))
        let isOver = Mutex(false)
        Foundation.Thread.detachNewThread {
            _ = gate.withEntry { _ in
                try? entered.signal()
                finish.wait()
                isOver.withLock { $0 = true }
            }
        }
        _ = try entered.take()
        let closer = try WorldThread.spawn { try? gate.close() }
        finish.signal()
        closer.join()
        #expect(isOver.withLock { $0 })
    }
}
