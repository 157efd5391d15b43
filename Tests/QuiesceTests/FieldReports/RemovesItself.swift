// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// An attribute removes itself: Linux 1ae06819c77c (kernfs).
@Suite struct RemovesItself {
    private final class Attribute: Sendable {
        let gate = Gate(name: "attribute")
        let removal = Mutex(())
        let isRemoved = Unsynchronized(false)

        init() {
            removal.label("removal")
            isRemoved.label("isRemoved")
        }

        func removeInside() {
            _ = gate.withEntry { _ in
                do { try gate.close() } catch { expect(false, "\(error)") }
            }
        }

        /// The one who removes leaves first, but another one waits for the lock inside.
        func removeUnderLock() {
            _ = gate.withOwnedEntry { entry in
                removal.lock()
                entry.leave()
                try? gate.close()
                removal.unlock()
            }
        }

        func removeItself(_ afterEntering: () -> Void = {}) {
            let isMine = gate.withOwnedEntry { entry in
                afterEntering()
                guard let own = try? entry.closeFromInside() else { return false }
                isRemoved.store(true)
                own.leave()
                return true
            }
            if isMine == false { expect(isRemoved.load(), "a loser did not wait for the winner") }
        }
    }

    private func program(_ names: [String], _ operation: @escaping @Sendable (Attribute) -> Void)
        -> (ExploredWorld) -> Void
    {
        { world in
            let attribute = Attribute()
            for name in names { world.thread(name) { operation(attribute) } }
        }
    }

    @Test func `the gate refuses to wait for the operation that closes it`() throws {
        try expectFound(
            .expectation, shows: ["attribute was closed from inside"], columns: ["writer"],
            program(["writer"]) { $0.removeInside() })
    }

    @Test func `the winner waits for a loser that waits for the winner`() throws {
        try expectFound(
            .deadlock,
            shows: ["has left attribute", "waits for removal, held by", "try? gate.close()"],
            columns: ["one", "two"], program(["one", "two"]) { $0.removeUnderLock() })
    }

    @Test func `the winner goes on inside and losers wait outside`() throws {
        // All of it is 17 060 executions, which were verified; they take more than two seconds.
        try expectVerified(executions: 10_000) { world in
            let attribute = Attribute()
            attribute.removeItself { world.thread("other") { attribute.removeItself() } }
        }
    }
}
