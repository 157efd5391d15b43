// SPDX-License-Identifier: Apache-2.0

/// The explored closure, as the main thread of an execution.
final class Program: @unchecked Sendable {
    // Unchecked: the fiber that runs it is on the thread that made it.
    private let body: (ExploredWorld) throws -> Void
    private let world: ExploredWorld

    init(body: @escaping (ExploredWorld) throws -> Void, world: ExploredWorld) {
        self.body = body
        self.world = world
    }

    func run() {
        do { try body(world) } catch {
            Scheduler.watchingThisThread { $0.failThrown(error) }
        }
    }
}

/// The explored closure, as the main task of an execution.
final class TaskProgram: @unchecked Sendable {
    // Unchecked: as above.
    private let body: @Sendable (ExploredWorld) async throws -> Void
    private let world: ExploredWorld

    init(
        body: @escaping @Sendable (ExploredWorld) async throws -> Void, world: ExploredWorld
    ) {
        self.body = body
        self.world = world
    }

    // Whom to tell is asked of the thread: a task may outlive its execution.
    func run() async {
        do { try await body(world) } catch {
            Scheduler.watchingThisThread { $0.failThrown(error) }
        }
        Scheduler.watchingThisThread { $0.noteMainEnds() }
    }
}
