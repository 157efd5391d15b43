// SPDX-License-Identifier: Apache-2.0

import Glibc
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// What a forked child finds: the thread that forked goes on, and nobody else is there.
@Suite struct ForkTests {
    // MARK: Gates

    @Test func `a child closes a gate that others of its parent are inside of`() async {
        await #expect(processExitsWith: .success) { try forkAmongThoseInside() }
    }

    @Test func `a child closes a gate that a task of its parent is inside of`() async {
        await #expect(processExitsWith: .success) {
            let gate = Gate()
            let (entered, finish) = (EventCounter(), EventCounter())
            let task = Task {
                await gate.withTaskEntry { _ in
                    try? entered.signal()
                    _ = try? await finish.take()
                }
            }
            _ = try await entered.take()
            precondition(forkInTask { try! gate.close(until: soon()) } == 0)
            try finish.signal()
            _ = await task.value
            try await gate.close()
        }
    }

    @Test func `a child is inside of what its thread was inside of`() async {
        await #expect(processExitsWith: .success) { try forkInside() }
    }

    @Test func `a child is inside of what its task was inside of`() async {
        await #expect(processExitsWith: .success) {
            let gate = Gate()
            let status = await gate.withTaskEntry { _ in
                forkInTask {
                    do throws(QuiesceError) {
                        try gate.close(until: soon())
                        preconditionFailure("it closed")
                    } catch {
                        guard case .inside = error else { preconditionFailure("\(error)") }
                    }
                    let closer = try! WorldThread.spawn {
                        precondition((try? gate.close(until: WorldClock.now())) == nil)
                    }
                    closer.join()
                }
            }
            precondition(status == .some(.some(0)))
            try await gate.close()
        }
    }

    @Test func `a child closes a gate that another thread was closing`() async {
        await #expect(processExitsWith: .success) { try forkAmongClosers() }
    }

    // MARK: Values and notifiers

    @Test func `a child does not wait for the destruction of a value by another thread`() async {
        await #expect(processExitsWith: .success) { try forkWhileDestroying() }
    }

    @Test func `a child does not wait for a release that another thread runs`() async {
        await #expect(processExitsWith: .success) { try forkWhileReleasing() }
    }

    @Test func `a child detaches a notifier whose callback another thread runs`() async {
        await #expect(processExitsWith: .success) { try forkAmongCallbacks() }
    }

    @Test func `a child drops and shares references`() async {
        await #expect(processExitsWith: .success) { try forkWithReference() }
    }

    // MARK: Lines

    @Test func `nobody waits in a child`() async {
        await #expect(processExitsWith: .success) { try forkAmongWaiters() }
    }

    @Test func `a condition that forks waits on in the child`() async {
        await #expect(processExitsWith: .success) { try forkInCondition() }
    }

    @Test func `an event descriptor is used in a child while its parent waits`() async {
        await #expect(processExitsWith: .success) { try forkWithDescriptor() }
    }

    // MARK: Everything at once

    @Test func `a child uses everything while others of its parent use it`() async {
        await #expect(processExitsWith: .success) { try forkAmongUsers() }
    }

    @Test func `a child reports its own mistakes`() async {
        await #expect(processExitsWith: .success) { try forkAmongMistakes() }
    }
}

/// Long enough, and not for ever.
private func soon() -> WorldClock.Instant { WorldClock.now() + .seconds(10) }

/// `forkedChild`, which a task may call.
private func forkInTask(_ body: () -> Void) -> Int32? { forkedChild(body) }

/// Forks; returns nil in the child and its exit status in the parent.
private func forkedChildThatGoesOn() -> Int32? {
    typealias Fork = @convention(c) () -> pid_t
    let fork = unsafe unsafeBitCast(dlsym(nil, "fork"), to: Fork.self)
    let child = fork()
    if child == 0 { return nil }
    var status: Int32 = 0
    guard unsafe waitpid(child, &status, 0) == child else { return -1 }
    return status
}

/// Destroyed slowly.
private struct Slow: ~Copyable, Sendable {
    let atEnd: @Sendable () -> Void
    init(_ atEnd: @escaping @Sendable () -> Void) { self.atEnd = atEnd }
    deinit { atEnd() }
}

/// Gates that others are inside of in all ways.
private final class Gates: Sendable {
    private let slot = Gate(name: "slot")
    private let owned = Gate(name: "owned")
    private let counted = Gate(name: "counted")
    private let outlived = Gate(name: "outlived")

    var all: [Gate] { [slot, owned, counted, outlived] }

    func whileOthersAreInside(_ body: () throws -> Void) throws {
        let step = WaitPoint.Shared()
        let thread = try WorldThread.spawn { [self] in
            var kept: Gate.Entry?
            _ = outlived.withOwnedEntry { entry in kept = consume entry }
            _ = slot.withEntry { _ in
                _ = owned.withOwnedEntry { entry in
                    enter((0..<Presence.depthLimit).map { _ in Gate() }[...]) {
                        _ = counted.withEntry { _ in
                            step.advance(to: 1)
                            step.wait(for: 2)
                        }
                    }
                    entry.leave()
                }
            }
            kept.take()?.leave()
        }
        step.wait(for: 1)
        try body()
        step.advance(to: 2)
        thread.join()
    }

    private func enter(_ gates: ArraySlice<Gate>, _ body: () -> Void) {
        guard let gate = gates.first else { return body() }
        _ = gate.withEntry { _ in enter(gates.dropFirst(), body) }
    }
}

/// Forks while one thread tells sleepers of a closing, one waits for the gate, and two close another
/// gate from inside.
private func forkAmongClosers() throws {
    let (telling, goOn) = (WaitPoint.Shared(), WaitPoint.Shared())
    let told = Gate(
        name: "told",
        whenClosing: {
            telling.advance(to: 1)
            goOn.wait(for: 1)
        })
    let contested = Gate(name: "contested")
    let first = try WorldThread.spawn { try? told.close() }
    telling.wait(for: 1)
    let second = try WorldThread.spawn { try? told.close() }
    waitUntil { told.waiters.waitingCount == 1 }
    let (inside, leave) = (WaitPoint.Shared(), WaitPoint.Shared())
    // Keeps the winner waiting.
    let guest = try WorldThread.spawn {
        _ = contested.withEntry { _ in
            inside.advance(to: 1)
            leave.wait(for: 1)
        }
    }
    inside.wait(for: 1)
    let entered = Atomic(0)
    let closers = try WorldThread.spawn {
        try! together(2) { _ in
            _ = contested.withOwnedEntry { entry in
                entered.add(1, ordering: .sequentiallyConsistent)
                waitUntil { entered.load(ordering: .sequentiallyConsistent) == 2 }
                let winner = try? entry.closeFromInside()
                winner?.leave()
            }
        }
    }
    waitUntil { contested.waiters.waitingCount == 2 }
    let status = forkedChild {
        try! told.close(until: soon())
        try! contested.close(until: soon())
        precondition(told.isClosed && contested.isClosed)
    }
    precondition(status == 0)
    goOn.advance(to: 1)
    leave.advance(to: 1)
    first.join()
    second.join()
    guest.join()
    closers.join()
    try told.close()
    try contested.close()
}

private func forkAmongCallbacks() throws {
    let event = EventCounter()
    let (running, goOn) = (WaitPoint.Shared(), WaitPoint.Shared())
    let calls = Atomic(0)
    let notifier = try event.subscribe(onSignal: { _ in
        if calls.add(1, ordering: .relaxed).newValue == 1 {
            running.advance(to: 1)
            goOn.wait(for: 1)
        }
    })
    let thread = try WorldThread.spawn { try? event.signal() }
    running.wait(for: 1)
    // Stands behind the callback that runs.
    try event.signal()
    let detaching = forkedChild { precondition(try! notifier.close(until: soon())) }
    let signalling = forkedChild {
        // That one, and this one.
        try! event.signal()
        precondition(calls.load(ordering: .relaxed) == 3)
        precondition(try! notifier.close(until: soon()))
        try! event.signal()
        precondition(calls.load(ordering: .relaxed) == 3)
    }
    let hangingUp = forkedChild {
        event.close()
        precondition((try? event.subscribe(onSignal: { _ in })) == nil && !notifier.isOpen)
    }
    precondition(detaching == 0 && signalling == 0 && hangingUp == 0)
    precondition((try? notifier.close(until: WorldClock.now())) == nil)
    goOn.advance(to: 1)
    thread.join()
    try notifier.close()
}

private func forkAmongWaiters() throws {
    let event = EventCounter()
    let queue = WaitQueue()
    let resumed = Atomic(0)
    let threads = try WorldThread.spawn {
        try! together(2) { _ in
            _ = try? event.take()
            resumed.add(1, ordering: .relaxed)
        }
    }
    Task {
        _ = try? await event.take()
        resumed.add(1, ordering: .relaxed)
    }
    waitUntil { event.takers.waitingCount == 3 }
    let status = forkedChild {
        // One who waits in the child is the first in the line.
        let taker = try! WorldThread.spawn { precondition((try? event.take(until: soon())) == 1) }
        waitUntil { event.takers.waitingCount == 1 }
        try! event.signal()
        taker.join()
        precondition(event.takers.waitingCount == 0 && resumed.load(ordering: .relaxed) == 0)
        // And a closed line stays closed.
        queue.close()
    }
    precondition(status == 0 && event.takers.waitingCount == 3)
    queue.close()
    let closed = forkedChild {
        do throws(QuiesceError) {
            try queue.wait(until: soon()) { false }
            preconditionFailure("it is closed")
        } catch {
            guard case .closed = error else { preconditionFailure("\(error)") }
        }
    }
    precondition(closed == 0)
    event.close()
    threads.join()
    waitUntil { resumed.load(ordering: .relaxed) == 3 }
}

/// What other threads use while one forks.
private final class Used: Sendable {
    let gate = Gate()
    let event = EventCounter(isSemaphore: true)
    let queue = WaitQueue()
    let item = Work(name: "item") {}
    let queues = [WorkQueue(name: "one"), WorkQueue(name: "other")]
    let isOver = Atomic(false)

    func use(_ index: Int) {
        var rounds = 0
        while !isOver.load(ordering: .relaxed) {
            rounds += 1
            switch index {
            case 0:
                _ = gate.withOwnedEntry { entry in
                    _ = gate.withEntry { _ in }
                    entry.leave()
                }
            case 1:
                try? event.signal()
                _ = try? event.take(until: WorldClock.now() + .microseconds(10))
            case 2:
                let notifier = try? event.subscribe(onSignal: { _ in })
                _ = try? notifier?.close()
            case 3: _ = try? queue.wait(until: WorldClock.now() + .microseconds(10)) { rounds == 0 }
            default:
                _ = queues[rounds % 2].enqueue(item)
                item.cancel()
            }
        }
    }

    func useInChild() {
        try! gate.close(until: soon())
        try! event.signal()
        precondition(event.tryTake() == 1)
        let calls = Atomic(0)
        let notifier = try! event.subscribe(onSignal: { _ in calls.add(1, ordering: .relaxed) })
        try! event.signal()
        try! notifier.close(until: soon())
        precondition(calls.load(ordering: .relaxed) == 1)
        let isAwake = Atomic(false)
        let waiter = try! WorldThread.spawn { [queue] in
            try! queue.wait(until: soon()) { isAwake.load(ordering: .sequentiallyConsistent) }
        }
        isAwake.store(true, ordering: .sequentiallyConsistent)
        queue.wake()
        waiter.join()
        precondition(!item.activity.contains(.running) && item.identity != nil)
        let new = WorkQueue(name: "new")
        _ = new.enqueue {}
        try! new.close(until: soon())
    }
}

private func forkAmongUsers() throws {
    let used = Used()
    _ = used.queues[0].enqueue(used.item)
    let threads = try WorldThread.spawn { try! together(5) { used.use($0) } }
    for _ in 0..<100 { precondition(forkedChild { used.useInChild() } == 0) }
    used.isOver.store(true, ordering: .relaxed)
    threads.join()
    try used.gate.close()
    for queue in used.queues { try queue.close() }
}

private func forkAmongThoseInside() throws {
    let gates = Gates()
    try gates.whileOthersAreInside {
        let status = forkedChild {
            for gate in gates.all {
                precondition((try? gate.close(until: soon())) != nil && gate.isClosed)
            }
            try! Gate.close(gates.all)
        }
        precondition(status == 0)
        // The parent waits for all of them.
        for gate in gates.all {
            precondition((try? gate.close(until: WorldClock.now())) == nil)
        }
    }
    for gate in gates.all { try gate.close() }
}

private func forkInside() throws {
    let gates = (0..<3).map { Gate(name: "gate \($0)") }
    func check() {
        for gate in gates {
            do throws(QuiesceError) {
                try gate.close(until: soon())
                preconditionFailure("it closed")
            } catch {
                guard case .inside = error else { preconditionFailure("\(error)") }
            }
            // Nor does another thread of the child close it.
            let closer = try! WorldThread.spawn {
                precondition((try? gate.close(until: WorldClock.now())) == nil)
            }
            closer.join()
        }
    }
    // In a slot, and owned twice.
    var status: Int32?
    _ = gates[0].withEntry { _ in
        _ = gates[1].withOwnedEntry { entry in
            var entry: Gate.Entry? = consume entry
            _ = gates[2].withOwnedEntry { other in
                status = forkedChild {
                    check()
                    entry.take()?.leave()
                    try! gates[1].close(until: soon())
                }
                other.leave()
            }
        }
    }
    precondition(status == 0)
    for gate in gates { try gate.close() }
}

private func forkWhileDestroying() throws {
    let (started, finish) = (WaitPoint.Shared(), WaitPoint.Shared())
    let value = Revocable(
        Slow {
            started.advance(to: 1)
            finish.wait(for: 1)
        })
    let thread = try WorldThread.spawn { _ = try? value.close() }
    started.wait(for: 1)
    precondition(forkedChild { precondition(try! !value.close(until: soon())) } == 0)
    precondition((try? value.close(until: WorldClock.now())) == nil)
    finish.advance(to: 1)
    thread.join()
}

private func forkWhileReleasing() throws {
    let (started, finish) = (WaitPoint.Shared(), WaitPoint.Shared())
    let scope = ObjectScope()
    let calls = EventCounter()
    try scope.add("first") { try calls.signal() }
    try scope.add("slow") {
        started.advance(to: 1)
        finish.wait(for: 1)
    }
    let thread = try WorldThread.spawn { try? scope.close() }
    started.wait(for: 1)
    let status = forkedChild {
        try! scope.close(until: soon())
        precondition(scope.isEmpty && calls.tryTake() == 1)
    }
    precondition(status == 0)
    precondition((try? scope.close(until: WorldClock.now())) == nil)
    finish.advance(to: 1)
    thread.join()
    precondition(scope.isEmpty && calls.tryTake() == 1)
}

private func forkWithReference() throws {
    let event = EventCounter()
    let reference = Reference(event)
    let status = forkedChild {
        let isLast = reference.share().drop()
        let isFound = event.referenceCount.incrementUnlessZero()
        precondition(!isLast && isFound && event.referenceCount.value == 2)
    }
    precondition(status == 0)
    reference.drop()
    precondition(event.readiness.contains(.closed))
}

private func forkInCondition() throws {
    let queue = WaitQueue()
    let flag = Atomic(false)
    var status: Int32?
    var looks = 0
    let start = WorldClock.now()
    try? queue.wait(until: start + .milliseconds(1)) {
        looks += 1
        // The waiter is in the line by now.
        guard looks == 2 else { return false }
        status = forkedChildThatGoesOn()
        return status != nil
    }
    if status == nil {
        // The child: the wait was over at its deadline, and the line can be used.
        let waker = try WorldThread.spawn {
            flag.store(true, ordering: .sequentiallyConsistent)
            queue.wake()
        }
        try queue.wait(until: soon()) { flag.load(ordering: .sequentiallyConsistent) }
        waker.join()
        _exit(queue.waiters.waitingCount == 0 ? 0 : 1)
    }
    precondition(status == 0)
}

private func forkWithDescriptor() throws {
    // Two descriptors of one counter, which the child shares.
    let event = try EventFD()
    let taker = try WorldThread.spawn { _ = try? event.take() }
    waitUntil { event.takers.waitingCount == 1 }
    let status = forkedChild {
        precondition((try? event.tryTake()) == .some(nil))
        do throws(QuiesceError) {
            _ = try event.take(until: WorldClock.now() + .milliseconds(1))
            preconditionFailure("it took something")
        } catch {
            guard case .timedOut = error else { preconditionFailure("\(error)") }
        }
        let child = try! WorldThread.spawn {
            precondition((try? event.take(until: soon())) == nil)
        }
        waitUntil { event.takers.waitingCount == 1 }
        event.close()
        child.join()
    }
    precondition(status == 0)
    // The parent's descriptor is open.
    try event.signal()
    taker.join()
}

private func forkAmongMistakes() throws {
    let isOver = Atomic(false)
    let reporter = try WorldThread.spawn {
        var line: UInt = 0
        while !isOver.load(ordering: .relaxed) {
            line += 1
            Misuse.report(.enabledTooOften, "ForkTests.swift", line % 50)
        }
    }
    for _ in 0..<100 {
        let status = forkedChild {
            Misuse.report(.enabledTooOften, "ForkTests.swift", 1)
        }
        precondition(status == 0)
    }
    isOver.store(true, ordering: .relaxed)
    reporter.join()
}
