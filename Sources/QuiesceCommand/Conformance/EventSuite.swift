// SPDX-License-Identifier: Apache-2.0

import QuiesceStories

/// Runs `eventfd.*`: what a nonblocking `eventfd(2)` answers, on every implementation of events.
enum EventSuite: ConformanceSuite {
    static let prefix = "eventfd."

    private enum Operation {
        case write(bytes: Int, value: UInt64)
        case read(bytes: Int)
        case poll
    }

    /// The size of a buffer that holds a value, and of one that is too long.
    private static let whole = 8
    private static let long = 16

    static func prepare(_ testCase: ConformanceCase) throws -> () throws -> Mismatch? {
        guard let initialValue = testCase.initial else {
            throw BadInput("\"initial\" must be a whole number from 0 to \(UInt32.max)")
        }
        guard let isSemaphore = testCase.semaphore else {
            throw BadInput("\"semaphore\" must be true or false")
        }
        guard let isNonblocking = testCase.nonblocking else {
            throw BadInput("\"nonblocking\" must be true or false")
        }
        guard isNonblocking else { throw BadInput("blocking cases cannot be run") }
        let program = try testCase.steps().map { step in
            let operation = try operation(step)
            try step.requireExpectation(shapes(operation))
            return (step: step, operation: operation)
        }
        return {
            for implementation in EventImplementation.all {
                let event = try implementation.make(initialValue, isSemaphore)
                for (step, operation) in program {
                    let found = run(operation, on: event).members
                    if found != step.expected {
                        return Mismatch(step, on: implementation.name, found: found)
                    }
                }
            }
            return nil
        }
    }

    /// A short operation is given the size of its buffer, a write of another size its value.
    private static func operation(_ step: ConformanceStep) throws -> Operation {
        switch step.name {
        case "write": return .write(bytes: whole, value: try step.digits(in: 0...UInt64.max))
        case "write_long": return .write(bytes: long, value: try step.digits(in: 0...UInt64.max))
        case "write_short": return .write(bytes: Int(try step.digits(in: 1...7)), value: 1)
        case "read_short": return .read(bytes: Int(try step.digits(in: 1...7)))
        case "read", "read_long", "poll":
            guard step.argument == nil else {
                throw BadInput("op \(step.number), \"\(step.name)\", takes no argument")
            }
            return step.name == "poll" ? .poll : .read(bytes: step.name == "read" ? whole : long)
        default: throw step.unknown
        }
    }

    private static func shapes(_ operation: Operation) -> [[String: ExpectedKind]] {
        switch operation {
        case .write: [["ret": .int32], ["error": .text]]
        case .read: [["ret": .int32, "value": .digits], ["error": .text]]
        case .poll: [["readable": .bool, "writable": .bool, "error": .bool]]
        }
    }

    private static func run(_ operation: Operation, on event: any EventUnderTest) -> EventAnswer {
        switch operation {
        case .write(let bytes, let value): event.write(bytes: bytes, value: value)
        case .read(let bytes): event.read(bytes: bytes)
        case .poll: event.poll()
        }
    }
}
