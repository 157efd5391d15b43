// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// Two cells are looked at in turn: apache/lucene #12916, #12959.
@Suite struct TwoCells {
    private final class Pool: Sendable {
        let cells = [Cell("first", 0), Cell("second", 1)]
        let additions = Cell("additions", 0)
        private let looksAgain: Bool

        init(looksAgain: Bool) { self.looksAgain = looksAgain }

        func put() {
            cells[0].value.store(1, ordering: .sequentiallyConsistent)
            additions.value.wrappingAdd(1, ordering: .sequentiallyConsistent)
        }

        func take(_ cell: Int) -> Bool {
            cells[cell].value.exchange(0, ordering: .sequentiallyConsistent) == 1
        }

        func poll() -> Bool {
            while true {
                let before = additions.value.load(ordering: .sequentiallyConsistent)
                if take(0) || take(1) { return true }
                if !looksAgain { return false }
                if additions.value.load(ordering: .sequentiallyConsistent) == before {
                    return false
                }
            }
        }
    }

    private final class Cell: Sendable {
        let value: Atomic<Int>
        init(_ name: String, _ initial: Int) {
            value = Atomic(initial)
            value.label(name)
        }
    }

    /// The taker takes only once something was put: the pool is never empty before.
    private func program(looksAgain: Bool) -> (ExploredWorld) -> Void {
        { world in
            let pool = Pool(looksAgain: looksAgain)
            world.thread("poller") { expect(pool.poll(), "the pool was never empty") }
            world.thread("mover") {
                pool.put()
                _ = pool.take(1)
            }
        }
    }

    @Test func `an element moves behind the poller's back`() throws {
        try expectFound(
            .expectation, shows: ["the pool was never empty", "first 0→0", "first = 1"],
            columns: ["poller", "mover"], program(looksAgain: false))
    }

    @Test func `a counter of additions says when to look again`() throws {
        try expectVerified(program(looksAgain: true))
    }
}
