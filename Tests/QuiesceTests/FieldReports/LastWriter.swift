// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// The last writer wakes one reader: Linux pipes, regression of 0ddad21d3e99.
@Suite struct LastWriter {
    private final class Pipe: Sendable {
        private let writers = Mutex(1)
        private let readable = Condition()

        init() {
            writers.label("writers")
            readable.label("readable")
        }

        func read() { writers.withLock(waitingFor: readable, while: { $0 > 0 }) { _ in } }

        func close(wakesAll: Bool) {
            writers.withLock { $0 -= 1 }
            if wakesAll { readable.broadcast() } else { readable.signal() }
        }
    }

    private func program(wakesAll: Bool) -> (ExploredWorld) -> Void {
        { world in
            let pipe = Pipe()
            world.thread("one") { pipe.read() }
            world.thread("two") { pipe.read() }
            world.thread("closer") { pipe.close(wakesAll: wakesAll) }
        }
    }

    @Test func `the end concerns all readers and wakes one`() throws {
        try expectFound(
            .lostWakeUp, shows: ["waits on readable and nobody is left", "signal readable: "],
            columns: ["one", "two", "closer"], program(wakesAll: false))
    }

    @Test func `the end wakes all readers`() throws {
        try expectVerified(program(wakesAll: true))
    }
}
