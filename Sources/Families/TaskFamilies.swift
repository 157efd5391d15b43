// SPDX-License-Identifier: Apache-2.0

import Explorer

/// n tasks of a group visit k actors, one after the other, and count themselves there.
enum ActorVisits {
    private actor Counter {
        var value = 0
        func increment() { value += 1 }
    }

    static func program(_ tasks: Int, _ actors: Int) -> @Sendable (ExploredWorld) async -> Void {
        { _ in
            let counters = (0..<actors).map { _ in Counter() }
            await withTaskGroup { group in
                for _ in 0..<tasks {
                    group.addTask {
                        for counter in counters { await counter.increment() }
                    }
                }
            }
        }
    }
}
