// SPDX-License-Identifier: Apache-2.0

import Glibc
import TestSupport
import Testing

@testable import Substrate

/// What a forked child finds of Substrate.
@Suite struct ForkTests {
    @Test func `a child does not give out the numbers of threads that stayed behind`() async {
        await #expect(processExitsWith: .success) { try numberThreads() }
    }

    @Test func `a child is told that a mutex is held for ever`() async throws {
        let result = try #require(
            await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
                try lockInChild()
            })
        let text = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(text.contains("held by another thread when this process was forked"), "\(text)")
    }

    @Test func `a child of a child is told so, too`() async throws {
        await #expect(processExitsWith: .success) {
            let held = HeldMutex()
            try held.whileHeld {
                let status = forkedChild {
                    // The grandchild ends by a trap.
                    let grandchild = forkedChild { held.mutex.withLock { $0 += 1 } }
                    _exit(grandchild == nil ? 7 : 1)
                }
                precondition(status == 7)
            }
        }
    }

    @Test func `a child goes on with a mutex that its own thread holds`() async {
        await #expect(processExitsWith: .success) {
            forkWithMutex()
        }
    }

    @Test func `a fork splits no section`() async {
        await #expect(processExitsWith: .success) { try forkAmongSections() }
    }

    @Test func `sections nest, also around a fork`() async {
        await #expect(processExitsWith: .success) {
            let status = ForkSection.run {
                ForkSection.run {
                    forkedChild {
                        ForkSection.run {}
                        precondition(forkedChild { ForkSection.run {} } == 0)
                    }
                }
            }
            precondition(status == 0)
            precondition(forkedChild { ForkSection.run {} } == 0)
        }
    }

    @Test func `an object is made right once after each fork`() async {
        await #expect(processExitsWith: .success) {
            let witness = ForkWitness()
            var repairs = 0
            witness.afterFork { repairs += 1 }
            let status = forkedChild {
                for _ in 0..<2 { witness.afterFork { repairs += 1 } }
                precondition(repairs == 1)
                let grandchild = forkedChild {
                    witness.afterFork { repairs += 1 }
                    precondition(repairs == 2)
                }
                precondition(grandchild == 0)
            }
            precondition(status == 0 && repairs == 0)
        }
    }
}

/// A mutex that another thread holds for a while.
private final class HeldMutex: Sendable {
    let mutex = Mutex(0)

    func whileHeld(_ body: () -> Void) throws {
        let step = WaitPoint.Shared()
        let thread = try WorldThread.spawn { [mutex = self] in
            mutex.mutex.withLock { _ in
                step.advance(to: 1)
                step.wait(for: 2)
            }
        }
        step.wait(for: 1)
        body()
        step.advance(to: 2)
        thread.join()
    }
}

private func lockInChild() throws {
    let held = HeldMutex()
    try held.whileHeld {
        let status = forkedChild { held.mutex.withLock { $0 += 1 } }
        _exit(status == nil ? 1 : 0)
    }
}

private func forkWithMutex() {
    let mutex = Mutex(0)
    mutex.lock()
    let status = forkedChild {
        mutex.unlock()
        mutex.withLock { $0 += 1 }
    }
    mutex.unlock()
    precondition(status == 0)
}

private func numberThreads() throws {
    let gathered = Mutex<Set<UInt32>>([])
    let step = WaitPoint.Shared()
    let own = World.currentThread
    let thread = try WorldThread.spawn {
        try! together(10) { _ in
            gathered.withLock { _ = $0.insert(World.currentThread) }
            step.wait(for: 1)
        }
    }
    waitUntil { gathered.withLock { $0.count } == 10 }
    let numbers = gathered.withLock { $0 }
    let status = forkedChild {
        precondition(World.currentThread == own && World.process.liveThreads == [own])
        precondition(numbers.allSatisfy { World.hasStayedBehind($0) })
        let child = Mutex<Set<UInt32>>([])
        try! together(20) { _ in child.withLock { _ = $0.insert(World.currentThread) } }
        precondition(child.withLock { $0.isDisjoint(with: numbers) && !$0.contains(own) })
    }
    precondition(status == 0 && !World.hasStayedBehind(own))
    step.advance(to: 1)
    thread.join()
}

/// Forks while other threads make changes of two words.
private func forkAmongSections() throws {
    let pair = Pair()
    let thread = try WorldThread.spawn {
        try! together(3) { _ in
            while !pair.isOver.load(ordering: .relaxed) { pair.change() }
        }
    }
    waitUntil { pair.first.load(ordering: .relaxed) > 0 }
    for _ in 0..<200 {
        let status = forkedChild {
            pair.check()
            pair.change()
            pair.check()
        }
        precondition(status == 0)
    }
    pair.isOver.store(true, ordering: .relaxed)
    thread.join()
}

private final class Pair: Sendable {
    let first = Atomic(0)
    let isOver = Atomic(false)
    private let second = Atomic(0)
    private let lock = Mutex(())

    func change() {
        ForkSection.run {
            lock.withLock { _ in
                first.add(1, ordering: .relaxed)
                second.add(1, ordering: .relaxed)
            }
        }
    }

    func check() {
        precondition(first.load(ordering: .relaxed) == second.load(ordering: .relaxed))
    }
}
