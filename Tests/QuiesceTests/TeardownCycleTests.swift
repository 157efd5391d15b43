// SPDX-License-Identifier: Apache-2.0

import Explorer
import Quiesce
import Substrate
import Testing

/// A cycle through a wait of the library is a deadlock, which names who waits for whom and the line
/// of the program that waits.
@Suite struct TeardownCycleTests {
    private final class Shared: Sendable {
        let lock = Mutex(())
        init() { lock.label("lock") }
    }

    @Test func `a queue is destroyed under a lock that its item wants`() throws {
        try expectFound(
            .deadlock,
            shows: [
                "main waits for queue, whose items run on worker 0",
                "worker 0 waits for lock, held by main", "try? queue.close()",
            ], columns: ["main", "worker 0"]
        ) { _ in
            let shared = Shared()
            let queue = WorkQueue(name: "queue")
            _ = queue.enqueue { shared.lock.withLock { _ in } }
            shared.lock.withLock { _ in try? queue.close() }
        }
    }

    /// An item that destroys its own queue gets an error. Here the item waits for another item,
    /// or for a thread, which destroys that queue: the item waits for itself all the same.
    @Test func `an item waits for an item that destroys its queue`() throws {
        try expectFound(
            .deadlock,
            shows: [
                "worker 0 waits for inner, whose items run on worker 1",
                "worker 1 waits for outer, whose items run on worker 0", "try outer.close()",
            ], columns: ["worker 0", "worker 1"]
        ) { _ in
            let outer = WorkQueue(name: "outer")
            let inner = WorkQueue(name: "inner")
            _ = outer.enqueue {
                _ = inner.enqueue {
                    do { try outer.close() } catch { expect(false, "\(error)") }
                }
                try? inner.drain()
            }
        }
    }

    @Test func `an item joins a thread that destroys its queue`() throws {
        try expectFound(
            .deadlock,
            shows: [
                "worker 0 waits for helper to end",
                "helper waits for queue, whose items run on worker 0", "try? queue.close()",
            ], columns: ["worker 0", "helper"]
        ) { _ in
            let queue = WorkQueue(name: "queue")
            _ = queue.enqueue {
                try? WorldThread.spawn(name: "helper") { try? queue.close() }.join()
            }
        }
    }

    @Test func `a queue is flushed under a lock that its item wants`() throws {
        try expectFound(.deadlock, shows: ["try? queue.flush()"], columns: ["main", "worker 0"]) {
            _ in
            let shared = Shared()
            let queue = WorkQueue(name: "queue")
            _ = queue.enqueue { shared.lock.withLock { _ in } }
            shared.lock.withLock { _ in try? queue.flush() }
        }
    }

    @Test func `an item is cancelled under a lock that it wants`() throws {
        try expectFound(
            .deadlock,
            shows: [
                "main waits for item, which runs on worker 0",
                "worker 0 waits for lock, held by main", "item.cancelAndWait()",
            ], columns: ["main", "worker 0"]
        ) { _ in
            let shared = Shared()
            let queue = WorkQueue(name: "queue")
            let item = Work(name: "item") { shared.lock.withLock { _ in } }
            _ = queue.enqueue(item)
            shared.lock.withLock { _ in _ = try? item.cancelAndWait() }
        }
    }

    @Test func `an item is disabled on a busy queue under a lock that it wants`() throws {
        try expectFound(.deadlock, shows: ["item.close()"], columns: ["main", "worker 0"]) {
            world in
            let shared = Shared()
            let queue = WorkQueue(name: "queue", .ordered)
            let item = Work(name: "item") { shared.lock.withLock { _ in } }
            _ = queue.enqueue(item)
            world.thread("closer") {
                shared.lock.withLock { _ in _ = try? item.close() }
            }
            try? queue.flush()
        }
    }

    @Test func `a gate is closed under a lock that the one inside wants`() throws {
        try expectFound(
            .deadlock,
            shows: [
                "closer waits until user has left gate", "user waits for lock, held by closer",
                "try? gate.close()",
            ], columns: ["closer", "user"]
        ) { world in
            let shared = Shared()
            let gate = Gate(name: "gate")
            world.thread("user") { gate.withEntry { _ in shared.lock.withLock { _ in } } }
            world.thread("closer") { shared.lock.withLock { _ in try? gate.close() } }
        }
    }

    @Test func `two gates are closed crosswise by those inside`() throws {
        try expectFound(
            .deadlock,
            shows: ["one waits until two has left right", "two waits until one has left left"],
            columns: ["one", "two"]
        ) { world in
            let left = Gate(name: "left")
            let right = Gate(name: "right")
            world.thread("one") { left.withEntry { _ in try? right.close() } }
            world.thread("two") { right.withEntry { _ in try? left.close() } }
        }
    }

    @Test func `two tasks close crosswise the gates that they are inside of`() async throws {
        try await expectFound(
            .deadlock,
            shows: ["one waits until two has left right", "two waits until one has left left"],
            columns: ["one", "two"]
        ) { _ in
            let left = Gate(name: "left")
            let right = Gate(name: "right")
            let one = Task(name: "one") {
                await left.withTaskEntry { _ in try? await right.close() }
            }
            let two = Task(name: "two") {
                await right.withTaskEntry { _ in try? await left.close() }
            }
            _ = await (one.value, two.value)
        }
    }

    @Test func `two gates of one line are told apart`() throws {
        // Closing one does not wait for the other's user: the one inside waits for nobody.
        try expectFound(.lostWakeUp, columns: ["user"]) { world in
            let shared = Shared()
            let gates = ["left", "right"].map { Gate(name: $0) }
            let point = Point()
            world.thread("user") {
                _ = gates[0].withEntry { _ in point.point.wait(while: 0) }
            }
            world.thread("closer") { shared.lock.withLock { _ in try? gates[1].close() } }
        }
    }

    private final class Point: Sendable {
        let point = WaitPoint()
        init() { point.label("point") }
    }

    @Test func `who closes a gate whose user sleeps for ever is not the one to blame`() throws {
        try expectFound(
            .lostWakeUp, shows: ["user waits on point and nobody is left to wake it"],
            columns: ["user", "closer"]
        ) { world in
            let gate = Gate(name: "gate")
            let point = Point()
            world.thread("closer") { try? gate.close() }
            world.thread("user") { _ = gate.withEntry { _ in point.point.wait(while: 0) } }
        }
    }
}
