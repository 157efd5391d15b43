// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Explorer
import Foundation
import Synchronization
import Testing

/// A loop on a thread of its own, such as an event loop's: others give it work and wake it.
final class EventLoop: @unchecked Sendable {
    // Unchecked: the condition protects the work.
    private let condition = NSCondition()
    private var work: [@Sendable () -> Void] = []
    private var isOver = false

    /// - Parameter polls: whether the loop looks for work by itself, and nobody wakes it.
    init(polls: Bool = false) {
        Foundation.Thread.detachNewThread { [self] in
            while let next = next(polls) { next() }
        }
    }

    func run(_ body: @escaping @Sendable () -> Void) {
        condition.lock()
        work.append(body)
        condition.unlock()
        condition.signal()
    }

    func stop() {
        condition.lock()
        isOver = true
        condition.unlock()
        condition.signal()
    }

    private func next(_ polls: Bool) -> (@Sendable () -> Void)? {
        condition.lock()
        defer { condition.unlock() }
        while work.isEmpty {
            if isOver { return nil }
            if polls {
                condition.unlock()
                usleep(1000)
                condition.lock()
            } else {
                condition.wait()
            }
        }
        return work.removeFirst()
    }

    static let shared = EventLoop()
    static let polling = EventLoop(polls: true)
}

/// An executor whose jobs run on an event loop.
final class LoopExecutor: SerialExecutor {
    let loop = EventLoop()

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.run { unsafe job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        unsafe UnownedSerialExecutor(ordinary: self)
    }
}

actor LoopActor {
    private let executor = LoopExecutor()
    private var value = 0
    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe executor.asUnownedSerialExecutor()
    }
    func increment() -> Int {
        value += 1
        return value
    }
    nonisolated func stop() { executor.loop.stop() }
}

private actor Counter {
    var value = 0
    func increment() { value += 1 }
}

/// Programs that are correct, in which threads take part that nobody explores.
struct ForeignProgram: Sendable, CustomTestStringConvertible {
    let name: String
    let body: @Sendable (ExploredWorld) async throws -> Void

    var testDescription: String { name }

    static let all: [ForeignProgram] = [
        ForeignProgram(name: "a queue resumes") { _ in
            await withCheckedContinuation { continuation in
                DispatchQueue.global().async { continuation.resume() }
            }
        },
        ForeignProgram(name: "a queue resumes an unsafe continuation, many times") { _ in
            for _ in 0..<5 {
                let value: Int = unsafe await withUnsafeContinuation { continuation in
                    DispatchQueue.global().async { unsafe continuation.resume(returning: 1) }
                }
                expect(value == 1)
            }
        },
        ForeignProgram(name: "a queue resumes later") { _ in
            await withCheckedContinuation { continuation in
                DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(3)) {
                    continuation.resume()
                }
            }
        },
        ForeignProgram(name: "a group notifies") { _ in
            let group = DispatchGroup()
            for _ in 0..<3 { DispatchQueue.global().async(group: group) {} }
            await withCheckedContinuation { continuation in
                group.notify(queue: .global()) { continuation.resume() }
            }
        },
        ForeignProgram(name: "a timer fires") { _ in
            let timer = DispatchSource.makeTimerSource()
            await withCheckedContinuation { continuation in
                let once = Synchronization.Mutex<CheckedContinuation<Void, Never>?>(continuation)
                let box = Box(once)
                timer.setEventHandler { box.resume() }
                timer.schedule(deadline: .now() + .milliseconds(1), repeating: .milliseconds(1))
                timer.activate()
            }
            timer.cancel()
        },
        ForeignProgram(name: "a concurrent loop resumes tasks") { _ in
            await withTaskGroup { group in
                let waiting = Waiting()
                for _ in 0..<3 {
                    group.addTask { await withCheckedContinuation { waiting.add($0) } }
                }
                group.addTask {
                    DispatchQueue.global().async {
                        while waiting.count < 3 { usleep(100) }
                        DispatchQueue.concurrentPerform(iterations: 3) { _ in waiting.resumeOne() }
                    }
                }
            }
        },
        ForeignProgram(name: "a thread of Foundation resumes") { _ in
            await withCheckedContinuation { continuation in
                Foundation.Thread.detachNewThread { continuation.resume() }
            }
        },
        ForeignProgram(name: "an event loop resumes") { _ in
            for _ in 0..<3 {
                await withCheckedContinuation { continuation in
                    EventLoop.shared.run { continuation.resume() }
                }
            }
        },
        ForeignProgram(name: "a loop that polls resumes") { _ in
            await withCheckedContinuation { continuation in
                EventLoop.polling.run { continuation.resume() }
            }
        },
        ForeignProgram(name: "a queue resumes onto an actor") { _ in
            let counter = Counter()
            await withTaskGroup { group in
                for _ in 0..<2 {
                    group.addTask { await counter.increment() }
                    group.addTask {
                        await counter.waitForQueue()
                        await counter.increment()
                    }
                }
            }
            let value = await counter.value
            expect(value == 4)
        },
        ForeignProgram(name: "a queue resumes onto the main actor") { _ in
            let value = await Task { @MainActor in
                await withCheckedContinuation { continuation in
                    DispatchQueue.global().async { continuation.resume(returning: 5) }
                }
            }.value
            expect(value == 5)
        },
        ForeignProgram(name: "an executor runs on an event loop") { _ in
            let actor = LoopActor()
            async let first = actor.increment()
            async let second = actor.increment()
            let values = await Set([first, second])
            expect(values == [1, 2])
            actor.stop()
        },
        ForeignProgram(name: "a queue cancels") { _ in
            let task = Task {
                while !Task.isCancelled { try await Task.sleep(for: .seconds(1)) }
            }
            DispatchQueue.global().async { task.cancel() }
            _ = await task.result
        },
        ForeignProgram(name: "a queue cancels a handler's task") { _ in
            let task = Task {
                let waiting = Waiting()
                await withTaskCancellationHandler {
                    await withCheckedContinuation { waiting.addUnlessClosed($0) }
                } onCancel: {
                    waiting.close()
                }
            }
            DispatchQueue.global().async { task.cancel() }
            await task.value
        },
        ForeignProgram(name: "a queue yields into a stream") { _ in
            let (stream, continuation) = AsyncStream<Int>.makeStream()
            DispatchQueue.global().async {
                for value in 1...3 { continuation.yield(value) }
                continuation.finish()
            }
            var sum = 0
            for await value in stream { sum += value }
            expect(sum == 6)
        },
        ForeignProgram(name: "a task of another thread is waited for") { _ in
            let (stream, continuation) = AsyncStream<Task<Int, Never>>.makeStream()
            DispatchQueue.global().async {
                continuation.yield(Task.detached { 7 })
                continuation.finish()
            }
            for await task in stream {
                let value = await task.value
                expect(value == 7)
            }
        },
        ForeignProgram(name: "the last reference to a task is dropped elsewhere") { _ in
            let task = Task { await Task.yield() }
            DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(2)) {
                withExtendedLifetime(task) {}
            }
            await task.value
        },
    ]

    /// Programs whose tasks never end in time: what resumes them comes when nobody explores them
    /// any more.
    static let late: [ForeignProgram] = [
        ForeignProgram(name: "a continuation is resumed after the exploration") { _ in
            await withCheckedContinuation { continuation in
                DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(120)) {
                    continuation.resume()
                }
            }
        },
        ForeignProgram(name: "a task on an actor is resumed after the exploration") { _ in
            let counter = Counter()
            await counter.waitForQueue(milliseconds: 120)
            await counter.increment()
        },
        ForeignProgram(name: "a task is cancelled after the exploration") { _ in
            let waiting = Waiting()
            let task = Task {
                await withCheckedContinuation { waiting.add($0) }
            }
            DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(120)) {
                task.cancel()
                waiting.resumeOne()
            }
            await task.value
        },
    ]
}

extension Counter {
    func waitForQueue(milliseconds: Int = 0) async {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(milliseconds)) {
                continuation.resume()
            }
        }
    }
}

private final class Box: Sendable {
    private let continuation: Synchronization.Mutex<CheckedContinuation<Void, Never>?>
    init(_ continuation: consuming sending Synchronization.Mutex<CheckedContinuation<Void, Never>?>)
    {
        self.continuation = continuation
    }
    func resume() {
        continuation.withLock { known in
            defer { known = nil }
            return known
        }?.resume()
    }
}

/// Continuations that wait to be resumed.
private final class Waiting: Sendable {
    private struct State {
        var continuations: [CheckedContinuation<Void, Never>] = []
        var isClosed = false
    }
    private let state = Synchronization.Mutex(State())

    var count: Int { state.withLock { $0.continuations.count } }
    func add(_ continuation: CheckedContinuation<Void, Never>) {
        state.withLock { $0.continuations.append(continuation) }
    }
    func resumeOne() {
        state.withLock { $0.continuations.isEmpty ? nil : $0.continuations.removeLast() }?.resume()
    }
    func addUnlessClosed(_ continuation: CheckedContinuation<Void, Never>) {
        let isClosed = state.withLock { state in
            if !state.isClosed { state.continuations.append(continuation) }
            return state.isClosed
        }
        if isClosed { continuation.resume() }
    }
    func close() {
        state.withLock { $0.isClosed = true }
        resumeOne()
    }
}
