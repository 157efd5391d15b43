// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

@Suite struct NotifierTests {
    /// What a client's callbacks touch, and the client frees once it has detached them.
    private struct Client: ~Copyable, Sendable {
        let signals = Unsynchronized(0)
        let hangUps = Unsynchronized(0)
    }

    private static func makeClient() -> Storage<Client> {
        let client = Storage.allocate(Client(), name: "client")
        client.pointee.signals.label("signals")
        client.pointee.hangUps.label("hang-ups")
        return client
    }

    private static func subscribe(_ client: Storage<Client>, to counter: EventCounter)
        -> Subscription
    {
        do {
            return try counter.subscribe(
                onSignal: { _ in client.pointee.signals.withValue { $0 += 1 } },
                onClose: { _ in client.pointee.hangUps.withValue { $0 += 1 } })
        } catch { fatalError("\(error)") }
    }

    private static func close(_ notifier: Subscription) {
        do { try notifier.close() } catch { expect(false, "\(error)") }
    }

    private static let signalAgainstDetach: Program = { world in
        let counter = EventCounter()
        let client = makeClient()
        let notifier = subscribe(client, to: counter)
        world.thread("signaller") { try? counter.signal() }
        world.thread("client") {
            close(notifier)
            expect(!notifier.isOpen)
            unsafe client.free()
        }
    }

    @Test func `after detach returned no callback for a signal runs`() throws {
        try verify("signal against detach", Self.signalAgainstDetach)
    }

    private static let hangUpAgainstDetach: Program = { world in
        let counter = EventCounter()
        let client = makeClient()
        let notifier = subscribe(client, to: counter)
        world.thread("closer") { counter.close() }
        world.thread("client") {
            let isMine = (try? notifier.close()) == true
            expect(
                client.pointee.hangUps.load() == (isMine ? 0 : 1),
                "both the detach and the hang-up came first")
            unsafe client.free()
        }
    }

    @Test func `after detach returned the hang-up's callback is over, also when it came first`()
        throws
    {
        try verify("hang-up against detach", Self.hangUpAgainstDetach)
    }

    private static let twoSignals: Program = { world in
        let counter = EventCounter()
        let client = makeClient()
        _ = subscribe(client, to: counter)
        for name in ["one", "other"] { world.thread(name) { try? counter.signal() } }
        world.afterwards {
            // One at a time: plain memory in a callback needs no lock.
            expect(client.pointee.signals.load() == 2, "a signal was not told")
            unsafe client.free()
        }
    }

    @Test func `callbacks of one notifier run one at a time, one for each signal`() throws {
        try verify("two signals", Self.twoSignals)
    }

    private static let signalAgainstHangUp: Program = { world in
        let counter = EventCounter()
        let client = makeClient()
        _ = subscribe(client, to: counter)
        world.thread("signaller") { try? counter.signal() }
        world.thread("closer") { counter.close() }
        world.afterwards {
            expect(client.pointee.hangUps.load() == 1, "the end was not told once")
            unsafe client.free()
        }
    }

    @Test func `the hang-up is told once, whatever is signalled`() throws {
        try verify("signal against hang-up", Self.signalAgainstHangUp)
    }

    private static let lastIsLast: Program = { world in
        let counter = EventCounter()
        let isOver = Unsynchronized(false)
        isOver.label("is over")
        let state = Box(isOver)
        _ = try? counter.subscribe(
            onSignal: { _ in expect(!state.value.load(), "a signal was told after the end") },
            onClose: { _ in state.value.store(true) })
        world.thread("signaller") { try? counter.signal() }
        world.thread("closer") { counter.close() }
    }

    private final class Box: Sendable {
        let value: Unsynchronized<Bool>

        init(_ value: consuming Unsynchronized<Bool>) {
            self.value = Unsynchronized(value.load())
            self.value.label("is over")
        }
    }

    @Test func `the callback for the hang-up is the last`() throws {
        try verify("last", Self.lastIsLast)
    }

    private static let detachInside: Program = { world in
        let counter = EventCounter()
        let client = makeClient()
        _ = try? counter.subscribe(onSignal: { notifier in
            client.pointee.signals.withValue { $0 += 1 }
            close(notifier)
            // The callback is still running: what it uses is still there.
            client.pointee.signals.withValue { $0 += 1 }
        })
        for name in ["one", "other"] { world.thread(name) { try? counter.signal() } }
        world.afterwards {
            expect(client.pointee.signals.load() == 2, "it ran again after it had detached itself")
            unsafe client.free()
        }
    }

    @Test func `a callback that detaches itself is the last, and does not wait for itself`() throws
    {
        try verify("detach inside", Self.detachInside)
    }

    private static let twoDetachers: Program = { world in
        let counter = EventCounter()
        let client = makeClient()
        let notifier = subscribe(client, to: counter)
        let winners = Atomic(0)
        for name in ["one", "other"] {
            world.thread(name) {
                if (try? notifier.close()) == true { winners.wrappingAdd(1, ordering: .relaxed) }
                _ = client.pointee.signals.load()
            }
        }
        try? counter.signal()
        world.afterwards {
            expect(winners.load(ordering: .relaxed) == 1)
            unsafe client.free()
        }
    }

    @Test func `two who detach both wait, and one did it`() throws {
        try verify("two detach", Self.twoDetachers)
    }

    /// Detaches as it goes away, which is when its last callback lets go of it.
    private final class Owner: @unchecked Sendable {
        var notifier: Subscription?

        deinit { _ = try? notifier?.close() }
    }

    @Test func `what a callback holds may detach as it goes away`() throws {
        try verify("detach in deinit") { world in
            let counter = EventCounter()
            do {
                let owner = Owner()
                owner.notifier = try? counter.subscribe(
                    onSignal: { _ in _ = owner }, onClose: { _ in _ = owner })
            }
            world.thread("signaller") { try? counter.signal() }
            counter.close()
        }
    }

    @Test func `an attach against the hang-up is told or refused`() throws {
        try verify("attach against hang-up") { world in
            let counter = EventCounter()
            let client = Self.makeClient()
            let refused = Box(Unsynchronized(false))
            world.thread("closer") { counter.close() }
            world.thread("client") {
                do {
                    _ = try counter.subscribe(
                        onSignal: { _ in },
                        onClose: { _ in client.pointee.hangUps.withValue { $0 += 1 } })
                } catch { refused.value.store(true) }
            }
            world.afterwards {
                expect(client.pointee.hangUps.load() == (refused.value.load() ? 0 : 1))
                unsafe client.free()
            }
        }
    }

    static let mutants: [Mutant] = [
        Mutant(
            signalAgainstDetach, "Subscription.swift", "state.bitwiseAnd(~State.active", .skipped),
        Mutant(
            signalAgainstDetach, "Subscription.swift",
            "state.load(ordering: .sequentiallyConsistent)",
            .sees(0)),
        Mutant(
            twoDetachers, "Subscription.swift", "state.load(ordering: .sequentiallyConsistent)",
            .relaxed),
        Mutant(
            signalAgainstDetach, "Subscription.swift",
            "let (isExchanged, now) = self.state.compareExchange(",
            .unconditional),
        Mutant(signalAgainstDetach, "Subscription.swift", "state.store(0, ordering", .skipped),
        Mutant(twoDetachers, "Subscription.swift", "state.store(0, ordering", .relaxed),
        Mutant(
            hangUpAgainstDetach, "Subscription.swift",
            "let (isExchanged, now) = self.state.compareExchange(",
            .unconditional),
        Mutant(
            hangUpAgainstDetach, "Subscription.swift",
            "state.load(ordering: .sequentiallyConsistent)",
            .sees(0)),
        Mutant(
            twoSignals, "Subscription.swift", "let (isExchanged, now) = state.compareExchange(",
            .unconditional),
        Mutant(
            twoSignals, "Subscription.swift",
            "let (isExchanged, now) = self.state.compareExchange(",
            .unconditional),
        Mutant(
            twoSignals, "Subscription.swift", "let (isExchanged, now) = state.compareExchange(",
            .skipped),
        Mutant(twoSignals, "EventCounter.swift", "hasNotifiers.load", .sees(0)),
        Mutant(detachInside, "Subscription.swift", "state.bitwiseAnd(~State.active", .skipped),
        Mutant(
            twoDetachers, "Subscription.swift", "state.load(ordering: .sequentiallyConsistent)",
            .sees(0)),
    ]

    @Test(arguments: mutants) func `a mutant is caught`(_ mutant: Mutant) throws {
        try expectCaught(mutant)
    }

    // MARK: Refusals, tasks, deadlines

    @Test func `signalling from inside a callback is refused, whatever the event`() throws {
        let (counter, other) = (EventCounter(), EventCounter())
        let refusals = Mutex(0)
        let notifier = try counter.subscribe(onSignal: { _ in
            for event in [counter, other] {
                do throws(QuiesceError) { try event.signal() } catch {
                    refusals.withLock { $0 += error == .insideCallback ? 1 : 0 }
                }
                do throws(QuiesceError) { _ = try event.tryAdd(1) } catch {
                    refusals.withLock { $0 += error == .insideCallback ? 1 : 0 }
                }
            }
        })
        try counter.signal()
        #expect(refusals.withLock { $0 } == 4)
        #expect(counter.value == 1 && other.value == 0)
        try notifier.close()
        try counter.signal()
        #expect(counter.value == 2)
    }

    @Test func `a deadline names the thread that runs the callback, and the notifier is detached`()
        throws
    {
        let counter = EventCounter()
        let (started, finish) = (EventCounter(), EventCounter())
        let notifier = try counter.subscribe(onSignal: { _ in
            // A callback may wait; and it may not signal, so a plain thread tells that it runs.
            let teller = try? WorldThread.spawn { try? started.signal() }
            teller?.join()
            _ = try? finish.take()
        })
        let signaller = try WorldThread.spawn(name: "slow signaller") { try? counter.signal() }
        _ = try started.take()
        do throws(QuiesceError) {
            try notifier.close(until: WorldClock.now() + .milliseconds(1))
            Issue.record("the callback was not waited for")
        } catch {
            guard case .timedOut(_, let occupants, _) = error else { throw error }
            #expect(
                occupants.count == 1 && occupants[0].name.contains("\"slow signaller\""),
                "\(error)")
        }
        #expect(!notifier.isOpen)
        try finish.signal()
        #expect(try notifier.close() == false)
        signaller.join()
    }

    @Test func `a task that detaches waits for the callback without a thread`() async throws {
        let counter = EventCounter()
        let (started, finish) = (EventCounter(), EventCounter())
        let isOver = Mutex(false)
        let notifier = try counter.subscribe(onSignal: { _ in
            let teller = try? WorldThread.spawn { try? started.signal() }
            teller?.join()
            _ = try? finish.take()
            isOver.withLock { $0 = true }
        })
        _ = try WorldThread.spawn { try? counter.signal() }
        _ = try await started.take()
        let detaching = Task { try await notifier.close() }
        try finish.signal()
        #expect(try await detaching.value)
        #expect(isOver.withLock { $0 })
    }

    @Test func `what the callbacks hold is let go of when they are over`() throws {
        final class Held: Sendable {}
        for ending in 0..<3 {
            let counter = EventCounter()
            weak var held: Held?
            let notifier: Subscription
            do {
                let object = Held()
                held = object
                notifier = try counter.subscribe(
                    onSignal: { _ in _ = object }, onClose: { _ in _ = object })
            }
            #expect(held != nil)
            switch ending {
            case 0: try notifier.close()
            case 1: counter.close()
            default:
                try counter.signal()
                Reference(counter).drop()
            }
            #expect(held == nil)
            #expect(try notifier.close() == false || ending == 0)
        }
    }

    @Test func `detaching takes what the counter holds`() throws {
        let counter = EventCounter()
        let notifier = try counter.subscribe { _ in }
        #expect(try counter.tryAdd(7))
        #expect(try notifier.closeAndTake() == 7)
        #expect(try notifier.closeAndTake() == nil)
    }
}
