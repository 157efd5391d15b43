// SPDX-License-Identifier: Apache-2.0

import Substrate
import Testing

@Suite struct OperationTests {
    @Test func `bits keep a value of any width`() {
        #expect(Bits(of: UInt8(0xab)) == Bits(low: 0xab))
        #expect(Bits(of: Int16(-1)) == Bits(low: 0xffff))
        #expect(Bits(of: UInt64.max) == Bits(low: .max))
        let pair = WordPair(first: 1, second: 2)
        #expect(Bits(of: pair) == Bits(low: 1, high: 2))
        #expect(Bits(of: pair).value(as: WordPair.self) == pair)
        #expect(Bits(of: Int16(-5)).value(as: Int16.self) == -5)
    }

    @Test func `an operation starts with nothing but what it was given`() {
        let operation = Operation(.load, 8, .acquiring, site: Site("file", 3))
        #expect(operation.kind == .load)
        #expect(operation.object == 8)
        #expect(operation.order == .acquiring)
        #expect(operation.other == 0)
        #expect(operation.operand == Bits())
        #expect(operation.deadline == 0)
        #expect(!operation.prefersReaders)
        #expect(operation.site.line == 3)
    }
}
