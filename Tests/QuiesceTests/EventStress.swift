// SPDX-License-Identifier: Apache-2.0

import Quiesce
import Substrate
import TestSupport
import Testing

/// Real threads, tasks and descriptors against each other; also meant for the sanitizers.
@Suite struct EventStress {
    @Test(arguments: [false, true])
    func `everything that is added is taken once`(_ isSemaphore: Bool) throws {
        let event = try EventFD(isSemaphore: isSemaphore)
        let sum = Atomic<UInt64>(0)
        let total: UInt64 = 2 * 1500
        let done = Atomic(0)
        try together(4) { index in
            if index < 2 {
                for _ in 0..<1500 { #expect(throws: Never.self) { try event.add(1) } }
            } else {
                while let taken = try? event.take() {
                    // The one who takes the last of it ends the other's wait.
                    if sum.add(taken, ordering: .relaxed).newValue == total { event.close() }
                }
                done.add(1, ordering: .relaxed)
            }
        }
        #expect(sum.load(ordering: .relaxed) == total)
        #expect(done.load(ordering: .relaxed) == 2)
    }

    @Test func `two players on real threads`() throws {
        let events = [try EventFD(isSemaphore: true), try EventFD(isSemaphore: true)]
        try together(2) { index in
            let (mine, other) = (events[index], events[1 - index])
            for round in 0..<300 {
                let amount: UInt64 = round % 3 == 2 ? 5 : 1
                guard (try? mine.add(amount)) != nil else { return }
                for _ in 0..<amount { guard (try? other.take()) == 1 else { return } }
            }
        }
        #expect(try events.map { try $0.tryTake() } == [nil, nil])
    }

    @Test func `adders and takers of a full counter`() throws {
        let event = try EventFD(isSemaphore: true)
        try event.add(EventCounter.maximum)
        try together(4) { index in
            for round in 0..<200 {
                if index < 2 {
                    // As many are taken as are added.
                    guard (try? event.add(round % 2 == 0 ? 1 : 2)) != nil else { return }
                } else {
                    for _ in 0..<(round % 2 == 0 ? 1 : 2) {
                        guard (try? event.take()) == 1 else { return }
                    }
                }
            }
        }
        #expect(try event.tryAdd(1) == false)
        #expect(try event.tryTake() == 1)
        #expect(try event.tryAdd(1))
    }

    @Test func `closing against everything`() throws {
        for _ in 0..<150 {
            let event = try EventFD(isSemaphore: true)
            try together(4) { index in
                switch index {
                case 0: while (try? event.take()) != nil {}
                case 1: while (try? event.signal()) != nil {}
                case 2:
                    while let other = try? event.duplicate() {
                        _ = try? other.tryTake()
                        other.close()
                    }
                default:
                    for _ in 0..<5 {
                        _ = try? event.take(until: WorldClock.now() + .microseconds(20))
                    }
                    event.close()
                }
            }
            #expect(event.readiness == .closed)
        }
    }

    @Test func `tasks that take and are cancelled`() async throws {
        let event = try EventFD(isSemaphore: true)
        let taken = try await withThrowingTaskGroup(of: Int.self) { group in
            for index in 0..<200 {
                group.addTask {
                    let task = Task { try await event.take() }
                    if index % 2 == 0 { task.cancel() }
                    do { return Int(try await task.value) } catch is CancellationError { return 0 }
                }
            }
            // Enough for all: one that is cancelled may have taken before.
            for _ in 0..<200 { try event.signal() }
            var taken = 0
            for try await one in group { taken += one }
            return taken
        }
        var left = 0
        while try event.tryTake() != nil { left += 1 }
        #expect(taken + left == 200)
    }

    @Test func `interests come and go`() throws {
        let events = try (0..<8).map { _ in try EventDescriptor() }
        try together(4) { index in
            for round in 0..<400 {
                let event = events[(index * 3 + round) % 8]
                let interest = try? event.whenReady(for: .readable, repeats: round % 2 == 0) {}
                _ = event.write(1)
                if round % 3 == 0 { interest?.withdraw() } else { interest?.cancel() }
                _ = event.read()
            }
        }
        // The poller lives: who is interested now is called.
        let other = try EventDescriptor(initialValue: 1)
        let isCalled = WaitPoint()
        _ = try other.whenReady(for: .readable) {
            isCalled.word.store(1, ordering: .releasing)
            isCalled.wake()
        }
        while isCalled.word.load(ordering: .acquiring) == 0 { isCalled.wait(while: 0) }
    }
}
