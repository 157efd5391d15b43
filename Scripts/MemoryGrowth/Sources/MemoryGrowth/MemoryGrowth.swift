// SPDX-License-Identifier: Apache-2.0

import Explorer
import Foundation
import Substrate

/// Shows that nothing grows with the number of executions: `MemoryGrowth 1000000` runs a thousand
/// and a million of programs that deadlock, trap, lose a wake-up and are cut, and fails when the
/// million end with more memory.
@main
struct MemoryGrowth {
    final class State: Sendable {
        let x = Atomic(0)
        let lock = Mutex(())
        let other = Mutex(())
        let condition = Condition()
        let payload = [Int](repeating: 7, count: 100)
    }

    static let programs: [(name: String, stepLimit: Int, body: @Sendable (ExploredWorld) -> Void)] =
        [
            (
                "deadlock", 100,
                { world in
                    let state = State()
                    world.thread("ab") {
                        state.lock.withLock { _ in
                            state.other.withLock { _ in _ = state.payload.count }
                        }
                    }
                    world.thread("ba") {
                        state.other.withLock { _ in
                            state.lock.withLock { _ in _ = state.payload.count }
                        }
                    }
                }
            ),
            (
                "trap", 100,
                { world in
                    let state = State()
                    for _ in 0..<2 {
                        world.thread("adder") {
                            state.lock.lock()
                            precondition(state.x.wrappingAdd(1, ordering: .relaxed).oldValue == 0)
                            state.lock.unlock()
                        }
                    }
                }
            ),
            (
                "lost wake-up", 100,
                { world in
                    let state = State()
                    world.thread("waiter") {
                        state.lock.lock()
                        while state.x.load(ordering: .relaxed) == 0 {
                            state.condition.wait(state.lock)
                        }
                        state.lock.unlock()
                    }
                }
            ),
            (
                "cut", 20,
                { world in
                    let state = State()
                    world.thread("long") {
                        while state.x.load(ordering: .relaxed) < 30 {
                            state.x.wrappingAdd(1, ordering: .relaxed)
                        }
                    }
                }
            ),
        ]

    static func main() throws {
        let most = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 100_000
        var grew = false
        for program in programs {
            let few = try residentKilobytes(after: 1_000, program.stepLimit, program.body)
            let many = try residentKilobytes(after: most, program.stepLimit, program.body)
            print("\(program.name): \(few) kB after 1000 executions, \(many) kB after \(most)")
            // Less than a byte for each further execution of the hundred thousand that are run at
            // least.
            grew = grew || many - few > 512
        }
        if grew { exit(1) }
    }

    static func residentKilobytes(
        after executions: Int, _ stepLimit: Int, _ body: @escaping (ExploredWorld) -> Void
    ) throws -> Int {
        var options = ExplorationOptions(strategy: .random(executions: executions, seed: 1))
        options.stopsAtFirstFailure = false
        options.minimizes = false
        options.stepLimit = stepLimit
        let report = try Exploration("growth", options: options, body).run()
        precondition(report.executions == executions && report.failed > executions / 10)
        let status = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(
            separator: " ")
        return Int(status[1])! * sysconf(Int32(_SC_PAGESIZE)) / 1024
    }
}
