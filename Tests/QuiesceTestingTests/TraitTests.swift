// SPDX-License-Identifier: Apache-2.0

import Explorer
import QuiesceTesting
import Testing

actor Counter {
    var value = 0
    func get() -> Int { value }
    func set(_ new: Int) { value = new }
    func increment() { value += 1 }
}

@Suite struct TraitTests {
    @Test(.everyInterleaving) func `two tasks increment`() async {
        let counter = Counter()
        async let first: Void = counter.increment()
        async let second: Void = counter.increment()
        _ = await (first, second)
        #expect(await counter.get() == 2)
    }
    @Test(.everyInterleaving) func lost() async {
        let counter = Counter()
        await withTaskGroup { g in
            for _ in 0..<2 {
                g.addTask {
                    let v = await counter.get(); await counter.set(v + 1)
                }
            }
        }
        #expect(await counter.get() == 2)
    }
    @Test(.everyInterleaving) func never() async {
        await withCheckedContinuation { (c: CheckedContinuation<Void, Never>) in }
    }
}
