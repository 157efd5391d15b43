// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import QuiesceTesting
import Synchronization
import Testing

/// What traps in the code of other libraries is the verdict of one test, and the next one runs.
@Suite(.serialized) struct ForeignTrapTests {
    @Test(.fails("trapped"), .everyInterleaving)
    func `a lock of the standard library is locked again`() async {
        StandardLock().lockTwice()
    }

    @Test(.fails("trapped"), .everyInterleaving)
    func `a lock is locked again beside continuations and handlers`() async {
        let lock = StandardLock()
        await withTaskGroup { group in
            group.addTask {
                await withTaskCancellationHandler {
                    unsafe await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
                } onCancel: {
                }
            }
            group.addTask {
                await Task.yield()
                lock.lockTwice()
            }
        }
    }

    @Test(.fails("trapped"), .everyInterleaving)
    func `a cancellation handler traps`() async {
        let task = Task {
            await withTaskCancellationHandler {
                unsafe await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
            } onCancel: {
                trapOnPurpose()
            }
        }
        task.cancel()
        await task.value
    }

    @Test(.fails("a thread that is not explored trapped in trapOnPurpose"), .everyInterleaving)
    func `a worker of Dispatch traps`() async {
        unsafe await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in
            DispatchQueue.global().async { trapOnPurpose() }
        }
    }

    @Test(.fails("a thread that is not explored resumed a continuation"), .everyInterleaving)
    func `a worker of Dispatch resumes twice`() async {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume()
                continuation.resume()
            }
        }
        // The worker traps meanwhile.
        unsafe await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
    }

    @Test(.fails("a thread that is not explored aborted"), .everyInterleaving)
    func `a thread of Foundation aborts`() async {
        unsafe await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in
            Foundation.Thread.detachNewThread { abort() }
        }
    }

    @Test(.fails("a thread that is not explored trapped in trapOnPurpose"), .everyInterleaving)
    func `a task traps on an executor of its own`() async {
        await TrappingActor().trap()
    }

    @Test(.everyInterleaving) func `the next test runs`() async {
        let counter = Counter()
        await counter.increment()
        #expect(await counter.get() == 1)
    }
}

/// A lock that a thread cannot take twice.
private final class StandardLock: Sendable {
    private let lock = Synchronization.Mutex(0)

    func lockTwice() { lock.withLock { _ in lockOnce() } }
    private func lockOnce() { lock.withLock { $0 += 1 } }
}

/// An actor whose jobs run on a thread of its own.
private actor TrappingActor {
    private final class Executor: SerialExecutor {
        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            Foundation.Thread.detachNewThread {
                unsafe job.runSynchronously(on: self.asUnownedSerialExecutor())
            }
        }
        func asUnownedSerialExecutor() -> UnownedSerialExecutor {
            unsafe UnownedSerialExecutor(ordinary: self)
        }
    }
    private let executor = Executor()
    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe executor.asUnownedSerialExecutor()
    }
    func trap() { trapOnPurpose() }
}

@inline(never) func trapOnPurpose() { fatalError("on purpose") }
