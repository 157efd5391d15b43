// SPDX-License-Identifier: Apache-2.0

import CPeers
import Quiesce
import Substrate
import Synchronization

/// What is entered and left, and closed: our gate, and what else would do.
public enum Gates {
    public static let all =
        [enter, revocable, counter, mutex].flatMap { [$0, $0.with(.same)] }
        + [close, membarrier].flatMap { [$0, $0.with(.asleep), $0.with(.busy)] }
        + [enterTask, hop, actor, semaphore]

    // MARK: Entering

    public static let enter = Case(
        "Gate enter + leave", count: 40_000,
        .blocking { _ in
            let gate = Gate()
            return { count in times(count) { _ = gate.withEntry { _ in peers_touch_memory() } } }
        })

    static let revocable = Case(
        "Revocable.withValue", count: 40_000,
        .blocking { _ in
            let revocable = Revocable(1)
            return { count in times(count) { _ = revocable.withValue { _ in peers_touch_memory() } }
            }
        })

    public static let counter = Case(
        "a count in an Atomic",
        .blocking { _ in
            let gate = CountingGate()
            return { count in times(count) { gate.withEntry { peers_touch_memory() } } }
        })

    static let mutex = Case(
        "a count in a Mutex",
        .blocking { _ in
            let gate = LockedGate()
            return { count in times(count) { gate.withEntry { peers_touch_memory() } } }
        })

    // MARK: Closing

    public static let close = Case(
        "Gate.close, nobody inside", count: 200,
        .blocking { count in
            let gates = (0..<count).map { _ in Gate() }
            return { count in for index in 0..<count { try! gates[index].close() } }
        })

    public static let membarrier = Case(
        "membarrier", count: 200,
        .blocking { _ in { count in times(count) { Substrate.membarrier() } } })

    // MARK: Tasks

    static let enterTask = Case(
        "Gate enter + leave, a task", count: 2000,
        .suspending { _ in
            let gate = Gate()
            return { count in
                for _ in 0..<count { _ = await gate.withTaskEntry { _ in peers_touch_memory() } }
            }
        })

    static let hop = Case(
        "a call of an actor", count: 2000,
        .suspending { _ in
            let gate = ActorGate()
            return { count in
                for _ in 0..<count {
                    await gate.touch()
                    // Without something to do outside the actor, the optimiser stays inside.
                    peers_touch_memory()
                }
            }
        })

    static let actor = Case(
        "a count in an actor", count: 2000,
        .suspending { _ in
            let gate = ActorGate()
            return { count in
                for _ in 0..<count where await gate.enter() {
                    peers_touch_memory()
                    await gate.leave()
                }
            }
        })

    static let semaphore = Case(
        "a semaphore of continuations", count: 2000,
        .suspending { _ in
            let semaphore = AsyncSemaphore(1)
            return { count in
                for _ in 0..<count {
                    await semaphore.wait()
                    peers_touch_memory()
                    semaphore.signal()
                }
            }
        })
}

/// Bit 0 says that it is closing; above it, those inside are counted.
private final class CountingGate: Sendable {
    let state = Synchronization.Atomic<Int>(0)

    @inline(__always)
    func withEntry(_ body: () -> Void) {
        if state.wrappingAdd(2, ordering: .acquiring).oldValue & 1 == 0 { body() }
        state.wrappingSubtract(2, ordering: .releasing)
    }
}

private final class LockedGate: Sendable {
    private struct State {
        var isClosing = false
        var inside = 0
    }

    private let state = Synchronization.Mutex(State())

    @inline(__always)
    func withEntry(_ body: () -> Void) {
        let isOpen = state.withLock { state in
            if !state.isClosing { state.inside += 1 }
            return !state.isClosing
        }
        guard isOpen else { return }
        body()
        state.withLock { $0.inside -= 1 }
    }
}

private actor ActorGate {
    private var isClosing = false
    private var inside = 0

    func touch() { peers_touch_memory() }

    func enter() -> Bool {
        if !isClosing { inside += 1 }
        return !isClosing
    }

    func leave() { inside -= 1 }
}

/// As several packages have it.
private final class AsyncSemaphore: Sendable {
    private struct State {
        var permits: Int
        var waiting: [UnsafeContinuation<Void, Never>] = []
    }

    private let state: Synchronization.Mutex<State>

    init(_ permits: Int) { state = Synchronization.Mutex(State(permits: permits)) }

    func wait() async {
        if takePermit(nil) { return }
        await withUnsafeContinuation { continuation in
            if takePermit(continuation) { continuation.resume() }
        }
    }

    private func takePermit(_ continuation: UnsafeContinuation<Void, Never>?) -> Bool {
        state.withLock { state in
            if state.permits > 0 {
                state.permits -= 1
                return true
            }
            if let continuation { state.waiting.append(continuation) }
            return false
        }
    }

    func signal() {
        let next = state.withLock { state -> UnsafeContinuation<Void, Never>? in
            if !state.waiting.isEmpty { return state.waiting.removeFirst() }
            state.permits += 1
            return nil
        }
        next?.resume()
    }
}
