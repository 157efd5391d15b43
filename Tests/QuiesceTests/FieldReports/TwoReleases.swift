// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// Two releases, one wake: llvm/llvm-project #46357, libc++'s semaphore.
@Suite struct TwoReleases {
    private final class Semaphore: Sendable {
        private let count = WaitPoint()

        init() { count.label("count") }

        func acquire() {
            while true {
                let found = count.word.load(ordering: .sequentiallyConsistent)
                if found == 0 {
                    count.wait(while: 0)
                } else if count.word.compareExchange(
                    expected: found, desired: found - 1, ordering: .sequentiallyConsistent
                ).exchanged {
                    return
                }
            }
        }

        func release(wakesAlways: Bool) {
            let old = count.word.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
            if wakesAlways || old == 0 { count.wake(1) }
        }
    }

    private func program(wakesAlways: Bool) -> (ExploredWorld) -> Void {
        { world in
            let semaphore = Semaphore()
            world.thread("one") { semaphore.acquire() }
            world.thread("two") { semaphore.acquire() }
            world.thread("releaser") {
                semaphore.release(wakesAlways: wakesAlways)
                semaphore.release(wakesAlways: wakesAlways)
            }
        }
    }

    @Test func `the second release finds no zero and wakes nobody`() throws {
        try expectFound(
            .lostWakeUp, shows: ["waits on count and nobody is left", "count 0→1", "count 1→2"],
            columns: ["one", "two", "releaser"], program(wakesAlways: false))
    }

    @Test func `each release wakes`() throws {
        try expectVerified(program(wakesAlways: true))
    }
}
