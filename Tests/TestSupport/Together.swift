// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Glibc
package import Substrate

/// Runs `body` on `count` threads of its own, each with its index, and waits for all of them.
package func together(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) throws {
    guard count > 0 else { return }
    let thread = try WorldThread.spawn { body(count - 1) }
    try together(count - 1, body)
    thread.join()
}

/// Lets other threads run until `condition` is true.
package func waitUntil(_ condition: () -> Bool) {
    spin { !condition() }
}

/// Where a thread stands, for tests that must know that it has fallen asleep.
package final class Sleeper: Sendable {
    private let id = Atomic<Int32>(0)

    package init() {}

    /// Called by the thread itself, before what makes it sleep.
    package func announce() {
        id.store(quiesce_thread_id(), ordering: .sequentiallyConsistent)
    }

    /// Waits until the kernel says that the thread, after it announced itself, sleeps, or has
    /// ended.
    package func waitUntilAsleep() {
        waitUntil { id.load(ordering: .sequentiallyConsistent) != 0 }
        waitUntil {
            let state = Self.state(of: id.load(ordering: .sequentiallyConsistent))
            return state == nil || state == UInt8(ascii: "S")
        }
    }

    private static func state(of id: Int32) -> UInt8? {
        let file = unsafe open("/proc/self/task/\(id)/stat", O_RDONLY)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = unsafe bytes.withUnsafeMutableBytes {
            unsafe read(file, $0.baseAddress, $0.count)
        }
        guard count > 0, let name = bytes.lastIndex(of: UInt8(ascii: ")")), name + 2 < count else {
            return nil
        }
        return bytes[name + 2]
    }
}

extension WaitPoint {
    /// A point that threads share, where they wait for each other's progress.
    package final class Shared: Sendable {
        private let point = WaitPoint()

        package init() {}

        package func advance(to step: UInt32) {
            point.word.store(step, ordering: .releasing)
            point.wake()
        }

        package func wait(for step: UInt32) {
            while true {
                let found = point.word.load(ordering: .acquiring)
                if found >= step { return }
                point.wait(while: found)
            }
        }
    }
}
