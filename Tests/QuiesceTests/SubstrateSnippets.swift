// SPDX-License-Identifier: Apache-2.0

// The code of the articles that uses Substrate. `Synchronization` is not imported: Substrate has
// types of the same names, and brings what the signatures of its atomics need.
// `Scripts/check-snippets` compiles this file in a package of its own as well.
import Quiesce
import Substrate

final class Bell: Sendable {
    private let rung = WaitPoint()

    func ring() {
        rung.word.store(1, ordering: .releasing)
        rung.wake()
    }

    func wait() {
        while rung.word.load(ordering: .acquiring) == 0 { rung.wait(while: 0) }
    }
}

/// A semaphore made of a count and a wait queue, for threads and for tasks.
final class Seats: Sendable {
    private let count: Atomic<Int>
    private let waiting = WaitQueue(name: "seats")

    init(_ count: Int) {
        self.count = Atomic(count)
        self.count.label("seats")
    }

    func give() {
        count.wrappingAdd(1, ordering: .sequentiallyConsistent)
        waiting.wake(1)
    }

    func take(within timeout: Duration? = nil) throws(QuiesceError) {
        try waiting.wait(within: timeout) { tryTake() }
    }

    func take(within timeout: Duration? = nil) async throws {
        try await waiting.wait(within: timeout) { tryTake() }
    }

    private func tryTake() -> Bool {
        var found = count.load(ordering: .sequentiallyConsistent)
        while found > 0 {
            let (isMine, now) = count.compareExchange(
                expected: found, desired: found - 1, ordering: .sequentiallyConsistent)
            if isMine { return true }
            found = now
        }
        return false
    }
}
