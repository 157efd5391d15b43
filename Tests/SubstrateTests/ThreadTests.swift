// SPDX-License-Identifier: Apache-2.0

import Glibc
import Substrate
import TestSupport
import Testing

@Suite struct ThreadTests {
    @Test func `what a thread did happens before its join returns`() throws {
        let value = Unsynchronized(0)
        let thread = try WorldThread.spawn(name: "writer") { value.store(42) }
        thread.join()
        #expect(value.load() == 42)
    }

    @Test func `what was done before a spawn happens before the thread`() throws {
        let value = Unsynchronized(0)
        let seen = Unsynchronized(0)
        value.store(7)
        let thread = try WorldThread.spawn { seen.store(value.load()) }
        thread.join()
        #expect(seen.load() == 7)
    }

    @Test func `a service thread runs as any other`() throws {
        let ran = Counter()
        let thread = try WorldThread.spawn(name: "service", isService: true) {
            ran.count.add(1, ordering: .relaxed)
        }
        thread.join()
        #expect(ran.count.load(ordering: .relaxed) == 1)
    }

    @Test(arguments: [false, true])
    func `a thread takes the signals of its starter, or leaves them to others`(
        _ blocks: Bool
    ) throws {
        @Sendable func mask() -> sigset_t {
            var mask = sigset_t()
            unsafe pthread_sigmask(SIG_SETMASK, nil, &mask)
            return mask
        }
        func contains(_ mask: sigset_t, _ signal: Int32) -> Bool {
            var mask = mask
            return unsafe sigismember(&mask, signal) == 1
        }
        let before = mask()
        let seen = Mutex<sigset_t?>(nil)
        try WorldThread.spawn(blocksSignals: blocks) { seen.withLock { $0 = mask() } }.join()
        let within = try #require(seen.withLock { $0 })
        #expect(contains(within, SIGUSR1) == (blocks || contains(before, SIGUSR1)))
        #expect(!contains(within, SIGSEGV) && !contains(within, SIGPROF))
        for signal in 1..<Int32(32) {
            #expect(contains(mask(), signal) == contains(before, signal))
        }
    }

    @Test func `a thread that is dropped goes on by itself`() throws {
        let gate = WaitPoint()
        let ended = WaitPoint()
        _ = try WorldThread.spawn(name: "a name that is longer than the kernel keeps") {
            while gate.word.load(ordering: .acquiring) == 0 { gate.wait(while: 0) }
            ended.word.store(1, ordering: .releasing)
            ended.wake()
        }
        gate.word.store(1, ordering: .releasing)
        gate.wake()
        while ended.word.load(ordering: .acquiring) == 0 { ended.wait(while: 0) }
        #expect(ended.word.load(ordering: .relaxed) == 1)
    }

    @Test func `many threads start and end`() throws {
        let count = Counter()
        for _ in 0..<20 {
            try together(20) { _ in count.count.add(1, ordering: .relaxed) }
        }
        #expect(count.count.load(ordering: .relaxed) == 400)
    }

    @Test func `a thread can start and join another`() throws {
        let depth = Counter()
        try together(1) { _ in
            try! together(1) { _ in
                try! together(1) { _ in depth.count.store(3, ordering: .relaxed) }
            }
        }
        #expect(depth.count.load(ordering: .relaxed) == 3)
    }

    @Test func `what a body captured is released when the thread has ended`() throws {
        final class Captured: Sendable {}
        weak var captured: Captured?
        do {
            let object = Captured()
            captured = object
            let thread = try WorldThread.spawn { [object] in withExtendedLifetime(object) {} }
            thread.join()
        }
        #expect(captured == nil)
    }
}
