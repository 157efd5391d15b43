// SPDX-License-Identifier: Apache-2.0

import Foundation
import Substrate
import TestSupport
import Testing

@testable import Quiesce

/// A system that has no thread to give, for a while.
@Suite struct WorkerShortageTests {
    @Test func `an item that waits for another has a worker started once there are threads again`() async {
        await #expect(processExitsWith: .success) { try waitThroughShortage() }
    }
}

/// A process's own: it lets no thread have a stack.
private func waitThroughShortage() throws {
    let queue = WorkQueue(name: "queue")
    let (first, second, runs) = (Held(), WaitPoint.Shared(), Runs())
    queue.enqueue {
        first.run()
        // Now it blocks, and what it waits for has no worker.
        second.wait(for: 1)
    }
    first.waitUntilStarted()

    let resource = __rlimit_resource_t(RLIMIT_AS.rawValue)
    var limit = rlimit()
    #expect(unsafe getrlimit(resource, &limit) == 0)
    let statistics = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
    var least = limit
    least.rlim_cur = try #require(statistics.split(separator: " ").first.flatMap { UInt($0) }) * UInt(getpagesize())
    #expect(unsafe setrlimit(resource, &least) == 0)
    #expect(throws: ThreadError.self) { _ = try Thread.spawn {} }
    queue.enqueue {
        runs.count()
        second.advance(to: 1)
    }
    first.release()
    Clock.sleep(for: .milliseconds(50))
    #expect(runs.total == 0)
    #expect(unsafe setrlimit(resource, &limit) == 0)
    try queue.flush(until: Clock.now() + .seconds(60))
}
