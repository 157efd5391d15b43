// SPDX-License-Identifier: Apache-2.0

import CPeers
import Dispatch
import Glibc
import Quiesce

/// What is signalled and taken, with nobody waiting: our counter, and what else would do.
public enum Events {
    public static let all = [
        signal, signalSemaphore, signalNotifier, eventDescriptor, pipe, dispatchSemaphore, stream,
    ]

    // MARK: Ours

    public static let signal = Case(
        "EventCounter signal + take",
        .blocking { _ in
            let counter = EventCounter()
            return { count in signalAndTake(counter, count) }
        })

    static let signalSemaphore = Case(
        "EventCounter signal + take, semaphore",
        .blocking { _ in
            let counter = EventCounter(isSemaphore: true)
            return { count in signalAndTake(counter, count) }
        })

    static let signalNotifier = Case(
        "EventCounter signal + take, a notifier",
        .blocking { _ in
            let counter = EventCounter()
            guard let notifier = try? counter.subscribe(onSignal: { _ in peers_touch_memory() })
            else {
                fatalError("a new counter has hung up")
            }
            return { count in
                signalAndTake(counter, count)
                withExtendedLifetime(notifier) {}
            }
        })

    @inline(never)
    private static func signalAndTake(_ counter: EventCounter, _ count: Int) {
        times(count) {
            try! counter.signal()
            _ = counter.tryTake()
        }
    }

    // MARK: Peers

    public static let eventDescriptor = Case(
        "eventfd write + read", count: 400,
        .blocking { _ in
            let descriptor = peers_eventfd()
            let pair = Descriptors(reading: descriptor, writing: descriptor)
            return { count in times(count) { pair.writeAndRead() } }
        })

    static let pipe = Case(
        "pipe write + read", count: 400,
        .blocking { _ in
            var ends: (Int32, Int32) = (0, 0)
            withUnsafeMutablePointer(to: &ends) {
                $0.withMemoryRebound(to: Int32.self, capacity: 2) { _ = Glibc.pipe($0) }
            }
            let pair = Descriptors(reading: ends.0, writing: ends.1)
            return { count in times(count) { pair.writeAndRead() } }
        })

    static let dispatchSemaphore = Case(
        "DispatchSemaphore signal + wait",
        .blocking { _ in
            let semaphore = DispatchSemaphore(value: 0)
            return { count in
                times(count) {
                    semaphore.signal()
                    semaphore.wait()
                }
            }
        })

    static let stream = Case(
        "AsyncStream yield + next", count: 2000,
        .suspending { _ in
            let (stream, continuation) = AsyncStream.makeStream(of: UInt64.self)
            return { count in
                var iterator = stream.makeAsyncIterator()
                for _ in 0..<count {
                    continuation.yield(1)
                    _ = await iterator.next()
                }
            }
        })
}

private final class Descriptors: Sendable {
    private let reading: Int32
    private let writing: Int32

    init(reading: Int32, writing: Int32) {
        precondition(reading >= 0 && writing >= 0, "no descriptors to be had")
        self.reading = reading
        self.writing = writing
    }

    deinit {
        close(reading)
        if writing != reading { close(writing) }
    }

    @inline(__always)
    func writeAndRead() {
        var value: UInt64 = 1
        let count = write(writing, &value, 8) + read(reading, &value, 8)
        precondition(count == 16, "an event got lost")
    }
}
