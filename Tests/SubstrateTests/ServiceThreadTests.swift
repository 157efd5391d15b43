// SPDX-License-Identifier: Apache-2.0

import Glibc
import Substrate
import TestSupport
import Testing

@Suite struct ServiceThreadTests {
    @Test func `it is started once`() throws {
        let served = Served()
        var thread = ServiceThread(name: "service")
        #expect(!thread.isStarted)
        for _ in 0..<3 { try thread.start { served.add() } }
        #expect(thread.isStarted)
        waitUntil { served.count > 0 }
        #expect(served.count == 1)
    }

    @Test func `one that was refused is started by the next who needs it`() async {
        await #expect(processExitsWith: .success) {
            let served = Served()
            var thread = ServiceThread(name: "service")
            try withoutThreads {
                #expect(throws: ThreadError.self) { try thread.start { served.add() } }
                precondition(!thread.isStarted)
            }
            try thread.start { served.add() }
            waitUntil { served.count == 1 }
        }
    }

    @Test func `trying again ends with the first success`() {
        var attempts = 0
        let hasSucceeded = ServiceThread.tryAgain {
            attempts += 1
            return attempts == 3
        }
        #expect(hasSucceeded && attempts == 3)
    }

    @Test func `trying again is given up`() {
        var attempts = 0
        let hasSucceeded = ServiceThread.tryAgain {
            attempts += 1
            return false
        }
        #expect(!hasSucceeded && attempts == 10)
    }

    @Test func `a forked child leaves the owner behind and makes another`() async {
        await #expect(processExitsWith: .success) {
            let own = Owner.current
            let status = forkedChild {
                guard own.wasLeft.load(ordering: .relaxed) else { _exit(2) }
                guard Owner.current !== own else { _exit(3) }
                guard !Owner.current.wasLeft.load(ordering: .relaxed) else { _exit(4) }
            }
            precondition(status == 0, "\(String(describing: status))")
            precondition(Owner.current === own && !own.wasLeft.load(ordering: .relaxed))
        }
    }
}

private final class Served: Sendable {
    private let calls = Atomic(0)

    func add() { calls.add(1, ordering: .acquiringAndReleasing) }
    var count: Int { calls.load(ordering: .acquiring) }
}

private final class Owner: ServiceThread.Owner {
    static var current: Owner { World.current.value(key) { Owner() } }
    private static let key = WorldKey<Owner>()

    let wasLeft = Atomic(false)

    func leaveBehind() { wasLeft.store(true, ordering: .relaxed) }
}
