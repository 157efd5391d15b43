// SPDX-License-Identifier: Apache-2.0

import Explorer
import Substrate

/// Uses the thread-locals of the Swift runtime in explored threads. `Scripts/check-static-linking`
/// links it statically and compares what it prints.
@main
struct StaticLinking {
    @TaskLocal static var number = 0

    /// Something shared, so that threads take turns.
    final class Turns: Sendable {
        private let turns = Atomic(0)
        func take() { turns.wrappingAdd(1, ordering: .relaxed) }
    }

    /// A class whose fields are accessed dynamically.
    final class Pair: @unchecked Sendable {
        // Unchecked: the threads that share one of these take turns.
        var first = 0
        var second = 0
    }

    @inline(never)
    static func change(_ field: inout Int, while body: () -> Void) {
        body()
        field += 1
    }

    static func main() async {
        tell("task-local values") { world in
            let turns = Turns()
            for own in 1...2 {
                world.thread("\(own)") {
                    $number.withValue(own) {
                        turns.take()
                        expect(number == own, "the value is \(number), not \(own)")
                        turns.take()
                        expect(number == own, "the value is \(number), not \(own)")
                    }
                    expect(number == 0, "the value is \(number) after the scope")
                }
            }
        }
        tell("task-local values, one inside the other") { world in
            let turns = Turns()
            for own in 1...2 {
                world.thread("\(own)") {
                    $number.withValue(own) {
                        turns.take()
                        $number.withValue(own + 10) { turns.take() }
                        expect(number == own, "the value is \(number), not \(own)")
                    }
                }
            }
        }
        // Exclusivity is enforced within a thread: two may change the same field.
        tell("accesses of two threads") { world in
            let (turns, pair) = (Turns(), Pair())
            for own in 1...2 {
                world.thread("\(own)") { change(&pair.first) { turns.take() } }
            }
        }
        tell("accesses that end in another order") { world in
            let (turns, pair) = (Turns(), Pair())
            for own in 1...2 {
                world.thread("\(own)") {
                    change(&pair.first) {
                        turns.take()
                        change(&pair.second) { turns.take() }
                    }
                }
            }
        }
        tell("accesses of one thread") { world in
            let (turns, pair) = (Turns(), Pair())
            world.thread("one") { change(&pair.first) { change(&pair.first) { turns.take() } } }
        }
        tell("a failure") { world in
            let turns = Turns()
            world.thread("one") { turns.take() }
            expect(false)
        }
        do {
            let report = try await explore("tasks") { _ in await Task {}.value }
            print("tasks: \(report.result), \(report.coverage)")
        } catch { print("tasks: \(error)") }
    }

    static func tell(_ name: String, _ body: @escaping (ExploredWorld) throws -> Void) {
        do {
            let report = try Exploration(name, body).run()
            print("\(name): \(report.executions), \(report.result), \(report.coverage)")
        } catch { print("\(name): \(error)") }
    }
}
