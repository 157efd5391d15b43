// SPDX-License-Identifier: Apache-2.0

import Quiesce
import QuiesceStories

/// Runs `refcount.*`: the results, values and warnings of `refcount_t`, operation by operation.
enum ReferenceCountSuite: ConformanceSuite {
    static let prefix = "refcount."

    private struct Operation: Sendable {
        /// The arguments that it takes; one that takes none may be given 0.
        let range: ClosedRange<Int32>
        /// Runs it and returns its result; nil when it has none.
        let run: @Sendable (borrowing ReferenceCount, Int32) -> Bool?

        static func plain(_ run: @escaping @Sendable (borrowing ReferenceCount) -> Bool?)
            -> Operation
        {
            Operation(range: 0...0) { count, _ in run(count) }
        }

        static func amount(_ run: @escaping @Sendable (borrowing ReferenceCount, Int32) -> Bool?)
            -> Operation
        {
            Operation(range: 0...Int32.max, run: run)
        }
    }

    private static let operations: [String: Operation] = [
        "init": Operation(range: Int32.min...Int32.max) { count, value in
            count.set(value)
            return false
        },
        "inc": .plain { count in
            count.increment()
            return nil
        },
        "dec": .plain { count in
            count.decrement()
            return nil
        },
        "add": .amount { count, amount in
            count.increment(by: amount)
            return nil
        },
        "dec_and_test": .plain { $0.decrementAndTest() },
        "sub_and_test": .amount { $0.decrementAndTest(by: $1) },
        "inc_not_zero": .plain { $0.incrementUnlessZero() },
        "add_not_zero": .amount { $0.incrementUnlessZero(by: $1) },
        "dec_if_one": .plain { $0.decrementIfOne() },
        "dec_not_one": .plain { $0.decrementUnlessOne() },
    ]

    static func prepare(_ testCase: ConformanceCase) throws -> () throws -> Mismatch? {
        let steps = try testCase.steps()
        guard steps.first?.name == "init" else { throw BadInput("its first op must be \"init\"") }
        let program = try steps.map { step in
            guard let operation = operations[step.name] else { throw step.unknown }
            let amount = try step.integer(
                in: operation.range, absent: operation.range.count == 1 ? 0 : nil)
            try step.requireExpectation([["ret": .int32OrNull, "value": .int32, "warn": .int32]])
            return (step: step, operation: operation, amount: amount)
        }
        return { run(program) }
    }

    private static func run(
        _ program: [(step: ConformanceStep, operation: Operation, amount: Int32)]
    ) -> Mismatch? {
        let count = ReferenceCount()
        for (step, operation, amount) in program {
            var result: Bool?
            let misuses = Misuse.collecting { result = operation.run(count, amount) }
            let found: [String: ConformanceValue] = [
                "ret": result.map { .integer($0 ? 1 : 0) } ?? .null,
                "value": .integer(count.value),
                "warn": .integer(Int32(misuses.count)),
            ]
            if found != step.expected { return Mismatch(step, on: "ReferenceCount", found: found) }
        }
        return nil
    }
}
