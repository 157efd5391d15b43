// SPDX-License-Identifier: Apache-2.0

import Fuzzing
import Testing

/// The first programs of the fuzzer; `Scripts/fuzz-explorer` goes on.
@Suite struct FuzzTests {
    private func check(_ program: some FuzzProgram) {
        let (difference, _, _) = FuzzDifference.find(program, limit: 1_000)
        #expect(difference == nil, "\(program): \(difference?.description ?? "")")
    }

    @Test(arguments: 0..<20) func `the strategies agree on programs of threads`(seed: UInt64) {
        for number in 0..<25 {
            var random = FuzzGenerator(seed * 1_000 + UInt64(number))
            check(ThreadProgram.random(&random, size: 5))
        }
    }

    @Test(arguments: 0..<10) func `the strategies agree on programs of tasks`(seed: UInt64) {
        for number in 0..<10 {
            var random = FuzzGenerator(seed * 1_000 + UInt64(number))
            check(TaskProgram.random(&random, size: 3))
        }
    }

    @Test(arguments: 0..<10) func `the strategies agree on programs that use primitives`(
        seed: UInt64
    ) {
        for number in 0..<6 {
            var random = FuzzGenerator(seed * 1_000 + UInt64(number))
            check(PrimitiveProgram.random(&random, size: 4))
        }
    }
}
