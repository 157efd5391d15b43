// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// An event as a sequence.
@Suite struct SignalsTests {
    @Test func `a sequence gets all that is added, and ends when the event does`() async throws {
        try await verifyTasks("signals", granularity: .coarse) { world in
            let event = EventCounter()
            world.thread("producer") {
                sure { try event.signal() }
                sure { try event.add(2) }
                event.close()
            }
            var total: UInt64 = 0
            do { for try await count in event.signals { total += count } } catch {
                expect(false, "\(error)")
            }
            expect(total == 3, "\(total)")
        }
    }

    @Test func `a semaphore gives one at a time`() async throws {
        let event = EventCounter(isSemaphore: true)
        #expect(try event.tryAdd(3))
        event.close()
        var found: [UInt64] = []
        for try await count in event.signals { found.append(count) }
        #expect(found == [1, 1, 1])
    }

    @Test func `two iterations share what there is`() async throws {
        try await verifyTasks("two iterations", executions: 2_000, granularity: .coarse) { _ in
            let event = EventCounter(isSemaphore: true)
            async let first = Self.count(event)
            async let second = Self.count(event)
            do { _ = try event.tryAdd(2) } catch { expect(false, "\(error)") }
            event.close()
            let (one, other) = await (first, second)
            expect(one + other == 2)
        }
    }

    private static func count(_ event: EventCounter) async -> Int {
        var result = 0
        do { for try await _ in event.signals { result += 1 } } catch { expect(false, "\(error)") }
        return result
    }

    @Test func `an iteration that is over stays over`() async throws {
        let event = EventCounter()
        event.close()
        var iterator = event.signals.makeAsyncIterator()
        #expect(try await iterator.next() == nil)
        #expect(try await iterator.next() == nil)
    }

    @Test func `a cancelled iteration throws and has taken nothing`() async throws {
        let event = EventCounter()
        let task = Task { for try await _ in event.signals {} }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try event.signal()
        #expect(event.tryTake() == 1)
    }

    @Test func `a descriptor's signals come as well`() async throws {
        let event = try EventFD()
        try event.signal()
        for try await count in event.signals {
            #expect(count == 1)
            event.close()
        }
    }
}
