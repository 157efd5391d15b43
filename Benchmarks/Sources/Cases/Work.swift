// SPDX-License-Identifier: Apache-2.0

import CDispatch
import Dispatch
import Foundation
import NIOCore
import NIOPosix
import Quiesce
import Substrate
import Synchronization

/// Handing work to another thread and having it run: our queue, and what else would do.
public enum WorkQueues {
    public static let all = [
        submit, submitFunction, twoProducers, submitConcurrent, roundTrip, dispatchSerial,
        dispatchItems,
        dispatchFunction, dispatchTwoProducers, dispatchFunctionTwoProducers, dispatchGlobal,
        dispatchRoundTrip, operations, eventLoop, tasks,
    ]

    /// Counts to a number that a thread waits for.
    private final class Countdown: Sendable {
        private let rest = Synchronization.Atomic<Int>(0)
        private let point = WaitPoint()

        func begin(_ count: Int) {
            point.word.store(0, ordering: .relaxed)
            rest.store(count, ordering: .releasing)
        }

        @inline(__always)
        func count() {
            if rest.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
                point.word.store(1, ordering: .releasing)
                point.wake(1)
            }
        }

        func wait() {
            while point.word.load(ordering: .acquiring) == 0 { point.wait(while: 0) }
        }
    }

    // One for all cases, which run one after the other: were it captured, the threads would share
    // its count of references.
    private static let countdown = Countdown()

    private static func submitting(
        _ name: String, count: Int = 100_000,
        _ make: @escaping @Sendable () -> @Sendable (@escaping @Sendable () -> Void) -> Void
    ) -> Case {
        Case(
            name, count: count,
            .blocking { _ in
                let submit = make()
                return { count in
                    countdown.begin(count)
                    for _ in 0..<count { submit { countdown.count() } }
                    countdown.wait()
                }
            })
    }

    /// Another thread submits half of them. The time is that of all.
    private static func submittingByTwo(
        _ name: String,
        _ make: @escaping @Sendable () -> @Sendable (@escaping @Sendable () -> Void) -> Void
    ) -> Case {
        Case(
            name, count: 100_000,
            .blocking { _ in
                let submit = make()
                return { count in
                    countdown.begin(count)
                    let other = try! WorldThread.spawn {
                        for _ in 0..<count / 2 { submit { countdown.count() } }
                    }
                    for _ in 0..<count - count / 2 { submit { countdown.count() } }
                    other.join()
                    countdown.wait()
                }
            })
    }

    private static let itemCount = 20_000

    /// `make` makes the items, and returns what submits each of them once.
    private static func resubmitting(
        _ name: String, _ make: @escaping @Sendable () -> @Sendable () -> Void
    ) -> Case {
        Case(
            name, count: 5 * itemCount,
            .blocking { _ in
                let submitAll = make()
                return { count in
                    for _ in 0..<count / itemCount {
                        countdown.begin(itemCount)
                        submitAll()
                        countdown.wait()
                    }
                }
            })
    }

    // MARK: Ours

    /// Items that are enqueued again and again, as long-lived ones are.
    public static let submit = resubmitting("WorkQueue enqueue + run, ordered") {
        let queue = WorkQueue(name: "bench", .ordered)
        let items = (0..<itemCount).map { _ in Work { countdown.count() } }
        return { for item in items { _ = queue.enqueue(item) } }
    }

    public static let submitFunction = submitting("WorkQueue enqueue function + run, ordered") {
        let queue = WorkQueue(name: "bench", .ordered)
        return { _ = queue.enqueue($0) }
    }

    public static let twoProducers = submittingByTwo(
        "WorkQueue enqueue function + run, 2 producers"
    ) {
        let queue = WorkQueue(name: "bench", .ordered)
        return { _ = queue.enqueue($0) }
    }

    static let submitConcurrent = submitting("WorkQueue enqueue function + run, concurrent") {
        let queue = WorkQueue(name: "bench")
        return { _ = queue.enqueue($0) }
    }

    public static let roundTrip = Case(
        "WorkQueue enqueue + flush", count: 400,
        .blocking { _ in
            let queue = WorkQueue(name: "bench", .ordered)
            let item = Work {}
            return { count in
                for _ in 0..<count {
                    _ = queue.enqueue(item)
                    try! item.flush()
                }
            }
        })

    // MARK: Peers

    public static let dispatchSerial = submitting("DispatchQueue.async, serial") {
        let queue = DispatchQueue(label: "bench")
        return { queue.async(execute: $0) }
    }

    /// As C uses it: a function and its context, and no closure to allocate.
    public static let dispatchFunction = submitting("dispatch_async_f, serial") {
        nonisolated(unsafe) let queue = dispatch_queue_create("bench", nil)
        return { _ in dispatch_async_f(queue, nil) { _ in countdown.count() } }
    }

    public static let dispatchTwoProducers = submittingByTwo(
        "DispatchQueue.async, serial, 2 producers"
    ) {
        let queue = DispatchQueue(label: "bench")
        return { queue.async(execute: $0) }
    }

    public static let dispatchFunctionTwoProducers = submittingByTwo(
        "dispatch_async_f, serial, 2 producers"
    ) {
        nonisolated(unsafe) let queue = dispatch_queue_create("bench", nil)
        return { _ in dispatch_async_f(queue, nil) { _ in countdown.count() } }
    }

    /// Items that are enqueued again and again, as ours.
    public static let dispatchItems = resubmitting("DispatchQueue.async of an item, serial") {
        let queue = DispatchQueue(label: "bench")
        // Not Sendable, though made to be sent.
        nonisolated(unsafe) let items = (0..<itemCount).map { _ in
            DispatchWorkItem { countdown.count() }
        }
        return { for item in items { queue.async(execute: item) } }
    }

    static let dispatchGlobal = submitting("DispatchQueue.async, global") {
        let queue = DispatchQueue.global()
        return { queue.async(execute: $0) }
    }

    public static let dispatchRoundTrip = Case(
        "DispatchQueue.async + semaphore", count: 400,
        .blocking { _ in
            let queue = DispatchQueue(label: "bench")
            let semaphore = DispatchSemaphore(value: 0)
            return { count in
                for _ in 0..<count {
                    queue.async { semaphore.signal() }
                    semaphore.wait()
                }
            }
        })

    static let operations = submitting("OperationQueue.addOperation", count: 400) {
        let queue = OperationQueue()
        queue.maxConcurrentOperationCount = 1
        return { queue.addOperation($0) }
    }

    static let eventLoop = submitting("NIO EventLoop.execute") {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        return { loop.execute($0) }
    }

    static let tasks = submitting("Task { }", count: 20_000) { { function in Task { function() } } }
}
