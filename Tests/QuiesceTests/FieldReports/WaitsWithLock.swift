// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate
import Testing

/// One waits with the lock that the other needs: swiftlang/swift-subprocess #33.
@Suite struct WaitsWithLock {
    private final class Monitor: Sendable {
        let table = Mutex(0)
        let ended = WaitPoint()

        init() {
            table.label("table")
            ended.label("ended")
        }

        func watch(waitsUnderLock: Bool) {
            if waitsUnderLock {
                table.withLock { _ in awaitEnd() }
            } else {
                awaitEnd()
                table.withLock { _ in }
            }
        }

        private func awaitEnd() { ended.wait(while: 0) }

        func start() {
            table.withLock { $0 += 1 }
            ended.word.store(1, ordering: .releasing)
            ended.wake()
        }
    }

    private func program(waitsUnderLock: Bool) -> (ExploredWorld) -> Void {
        { world in
            let monitor = Monitor()
            world.thread("monitor") { monitor.watch(waitsUnderLock: waitsUnderLock) }
            world.thread("starter") { monitor.start() }
        }
    }

    @Test func `the child that would end is not registered`() throws {
        // The wait says not for whom it is: nobody else could know that it is for the starter.
        try expectFound(
            .lostWakeUp, shows: ["monitor waits on ended", "lock table", "starter on monitor"],
            columns: ["monitor", "starter"], program(waitsUnderLock: true))
    }

    @Test func `waiting first and locking then is right`() throws {
        try expectVerified(program(waitsUnderLock: false))
    }
}
