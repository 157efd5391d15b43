// SPDX-License-Identifier: Apache-2.0

/// The explored closure, as the main thread of an execution.
final class Program: @unchecked Sendable {
    // Unchecked: the fiber that runs it is on the thread that made it.
    private let body: (ExploredWorld) throws -> Void
    private let world: ExploredWorld
    private unowned let scheduler: Scheduler

    init(body: @escaping (ExploredWorld) throws -> Void, world: ExploredWorld, scheduler: Scheduler)
    {
        self.body = body
        self.world = world
        self.scheduler = scheduler
    }

    func run() {
        do { try body(world) } catch { scheduler.failThrown(error) }
    }
}

/// The explored closure, as the main task of an execution.
final class TaskProgram: @unchecked Sendable {
    // Unchecked: as above.
    private let body: @Sendable (ExploredWorld) async throws -> Void
    private let world: ExploredWorld
    private unowned let scheduler: Scheduler

    init(
        body: @escaping @Sendable (ExploredWorld) async throws -> Void, world: ExploredWorld,
        scheduler: Scheduler
    ) {
        self.body = body
        self.world = world
        self.scheduler = scheduler
    }

    func run() async {
        do { try await body(world) } catch { scheduler.failThrown(error) }
        scheduler.noteMainEnds()
    }
}
