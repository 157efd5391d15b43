// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

private struct Refused: Error, Equatable {}

private struct Token: ~Copyable {
    var count: Int
    let deaths: Counter
    deinit { deaths.count.add(1, ordering: .relaxed) }
}

@Suite struct UnsynchronizedTests {
    @Test func `what is stored is loaded`() {
        let memory = Unsynchronized("a")
        #expect(memory.load() == "a")
        memory.store("b")
        #expect(memory.load() == "b")
        let length = memory.withValue { value in
            value += "c"
            return value.count
        }
        #expect(length == 2)
        #expect(memory.load() == "bc")
        memory.label("text")
    }

    @Test func `it costs no memory beyond its value`() {
        #expect(MemoryLayout<Unsynchronized<Int>>.size == MemoryLayout<Int>.size)
        #expect(MemoryLayout<Unsynchronized<UInt8>>.size == 1)
    }

    @Test func `a value that cannot be copied lives in place and dies once`() {
        let deaths = Counter()
        do {
            let memory = Unsynchronized(Token(count: 1, deaths: deaths))
            memory.withValue { $0.count += 1 }
            #expect(memory.withValue { $0.count } == 2)
            #expect(deaths.count.load(ordering: .relaxed) == 0)
        }
        #expect(deaths.count.load(ordering: .relaxed) == 1)
    }

    @Test func `an error passes through`() {
        let memory = Unsynchronized(0)
        #expect(throws: Refused()) {
            try memory.withValue { value throws(Refused) in
                value = 5
                throw Refused()
            }
        }
        #expect(memory.load() == 5)
    }
}
