// SPDX-License-Identifier: Apache-2.0

import Glibc
import Substrate
import TestSupport
import Testing

/// How often an interest was called.
private final class Calls: Sendable {
    private let count = Atomic<Int>(0)

    func call() { count.add(1, ordering: .acquiringAndReleasing) }
    var made: Int { count.load(ordering: .acquiring) }
    /// Waits for so many calls. The descriptors stay open that long.
    func wait(for number: Int, of descriptors: EventDescriptor...) {
        waitUntil { made >= number }
        withExtendedLifetime(descriptors) {}
    }
}

@Suite struct PollerTests {
    @Test func `a waiter is called when the descriptor is ready`() throws {
        let event = try EventDescriptor()
        let calls = Calls()
        _ = try event.whenReady(for: .readable) { calls.call() }
        #expect(event.write(1) == .value(1))
        calls.wait(for: 1, of: event)
    }

    @Test func `a waiter is called at once when it is ready already`() throws {
        let event = try EventDescriptor(initialValue: 1)
        let calls = Calls()
        for number in 1...10 {
            _ = try event.whenReady(for: number % 2 == 0 ? .readable : .writable) { calls.call() }
            calls.wait(for: number, of: event)
        }
    }

    @Test func `several wait for one descriptor`() throws {
        let event = try EventDescriptor()
        let (readers, all) = (Calls(), Calls())
        for _ in 0..<3 {
            _ = try event.whenReady(for: .readable) {
                readers.call()
                all.call()
            }
        }
        _ = try event.whenReady(for: .writable) { all.call() }
        all.wait(for: 1, of: event)
        #expect(readers.made == 0)
        _ = event.write(1)
        all.wait(for: 4, of: event)
        #expect(readers.made == 3)
    }

    @Test func `a repeated interest is called at every change, another one once`() throws {
        let event = try EventDescriptor()
        let (once, always) = (Calls(), Calls())
        _ = try event.whenReady(for: .readable) { once.call() }
        let interest = try event.whenReady(for: .readable, repeats: true) { always.call() }
        for number in 1...20 {
            _ = event.write(1)
            always.wait(for: number, of: event)
            if number % 3 == 0 { _ = event.read() }
        }
        interest.cancel()
        #expect(once.made == 1)
    }

    @Test func `a cancelled interest is not called`() throws {
        let event = try EventDescriptor()
        let (cancelled, other) = (Calls(), Calls())
        let interests = [
            try event.whenReady(for: .readable) { cancelled.call() },
            try event.whenReady(for: .readable, repeats: true) { cancelled.call() },
        ]
        interests[0].cancel()
        interests[1].withdraw()
        interests[1].cancel()
        _ = try event.whenReady(for: .readable) { other.call() }
        _ = event.write(1)
        other.wait(for: 1, of: event)
        #expect(cancelled.made == 0)
    }

    @Test func `cancelling waits for the call that runs`() throws {
        let event = try EventDescriptor(initialValue: 1)
        let (started, ended) = (Calls(), Calls())
        let leave = Calls()
        let canceller = Sleeper()
        let interest = try event.whenReady(for: .readable, repeats: true) {
            started.call()
            waitUntil { leave.made > 0 }
            ended.call()
        }
        started.wait(for: 1, of: event)
        let seen = Atomic<Int>(-1)
        let thread = try WorldThread.spawn {
            canceller.announce()
            interest.cancel()
            seen.store(ended.made, ordering: .relaxed)
        }
        canceller.waitUntilAsleep()
        leave.call()
        thread.join()
        #expect(seen.load(ordering: .relaxed) == 1)
        #expect(started.made == 1)
    }

    @Test func `an interest that cancels itself does not wait`() throws {
        let event = try EventDescriptor()
        let calls = Calls()
        let own = Mutex<Interest?>(nil)
        let interest = try event.whenReady(for: .readable, repeats: true) {
            own.withLock { $0 }?.cancel()
            calls.call()
        }
        own.withLock { $0 = interest }
        _ = event.write(1)
        calls.wait(for: 1, of: event)
        interest.cancel()
        _ = event.write(1)
        let other = Calls()
        _ = try event.whenReady(for: .readable) { other.call() }
        other.wait(for: 1, of: event)
        #expect(calls.made == 1)
    }

    @Test func `a call can wait for the next readiness`() throws {
        let event = try EventDescriptor()
        let rounds = Calls()
        @Sendable func again() {
            _ = event.read()
            rounds.call()
            _ = try? event.whenReady(for: .readable, again)
        }
        _ = try event.whenReady(for: .readable, again)
        for round in 1...50 {
            _ = event.write(1)
            rounds.wait(for: round, of: event)
        }
    }

    @Test func `any descriptor can be waited for, and tells the end`() throws {
        var ends: [Int32] = [-1, -1]
        #expect(unsafe pipe(&ends) == 0)
        let calls = Calls()
        let interest = try Poller.current.wait(for: ends[0], .readable) { calls.call() }
        close(ends[1])
        calls.wait(for: 1)
        interest.cancel()
        close(ends[0])
    }

    @Test func `what cannot be waited for is refused`() throws {
        #expect(throws: DescriptorError.refused(EBADF)) {
            try Poller.current.wait(for: -1, .readable) {}
        }
        let file = unsafe open("/proc/self/stat", O_RDONLY)
        defer { close(file) }
        #expect(throws: DescriptorError.refused(EPERM)) {
            try Poller.current.wait(for: file, .readable) {}
        }
    }

    @Test func `a waiter is refused while there is no thread, and served the next time`()
        async
    {
        await #expect(processExitsWith: .success) {
            let calls = Calls()
            let event = try EventDescriptor(initialValue: 1)
            try withoutThreads {
                for _ in 0..<2 {
                    #expect(throws: DescriptorError.refused(EAGAIN)) {
                        try event.whenReady(for: .readable) { calls.call() }
                    }
                }
            }
            _ = try event.whenReady(for: .readable) { calls.call() }
            calls.wait(for: 1, of: event)
            #expect(calls.made == 1)
        }
    }

    // Numbers belong to the process: the next two must know who is given one.

    @Test func `a number that is given to another file starts afresh`() async {
        await #expect(processExitsWith: .success) {
            let (old, new) = (Calls(), Calls())
            let first = try EventDescriptor()
            let number = first.fileDescriptor
            // The rule is to cancel first. Code that breaks it harms no later user.
            _ = try first.whenReady(for: .readable) { old.call() }
            let kept = try first.duplicate()
            first.close()
            let second = try EventDescriptor()
            precondition(second.fileDescriptor == number)
            _ = try second.whenReady(for: .readable) { new.call() }
            _ = second.write(1)
            new.wait(for: 1, of: second)
            _ = kept.write(1)
        }
    }

    @Test func `a forked child has a poller of its own`() async {
        await #expect(processExitsWith: .success) {
            let (before, inParent) = (Calls(), Calls())
            let event = try EventDescriptor()
            _ = try event.whenReady(for: .readable, repeats: true) { before.call() }
            _ = event.write(1)
            before.wait(for: 1, of: event)
            _ = event.read()
            let interest = try event.whenReady(for: .readable) { inParent.call() }
            let status = forkedChild {
                guard interest.isAbandoned else { _exit(2) }
                // Returns, although the parent's poller has no thread here.
                interest.cancel()
                let inChild = Calls()
                guard let own = try? EventDescriptor(initialValue: 1) else { _exit(3) }
                guard (try? own.whenReady(for: .readable) { inChild.call() }) != nil else {
                    _exit(4)
                }
                inChild.wait(for: 1)
                guard inParent.made == 0 else { _exit(5) }
            }
            precondition(status == 0, "\(String(describing: status))")
            _ = event.write(1)
            inParent.wait(for: 1, of: event)
        }
    }

    @Test func `thousands of interests`() throws {
        let events = try (0..<100).map { _ in try EventDescriptor() }
        let (called, cancelled) = (Calls(), Calls())
        var others: [Interest] = []
        for index in 0..<4000 {
            _ = try events[index % 100].whenReady(for: .readable) { called.call() }
            others.append(
                try events[index % 100].whenReady(for: .readable, repeats: true) {
                    cancelled.call()
                })
        }
        for interest in others { interest.cancel() }
        for event in events { _ = event.write(1) }
        called.wait(for: 4000)
        withExtendedLifetime(events) {}
        #expect(called.made == 4000 && cancelled.made == 0)
    }
}
