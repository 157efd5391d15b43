// SPDX-License-Identifier: Apache-2.0

import QuiesceStories

/// One case of a file. What does not fit throws `BadInput`, to which the file adds its name and the
/// case's.
struct ConformanceCase: Decodable {
    @Lenient var id: String?
    @Lenient var initial: UInt32?
    @Lenient var semaphore: Bool?
    @Lenient var nonblocking: Bool?
    @Lenient private var ops: [Lenient<[ConformanceValue]>]?
    @Lenient private var expect: [Lenient<[String: ConformanceValue]>]?

    /// The operations, each with what is expected of it.
    func steps() throws -> [ConformanceStep] {
        guard let ops, !ops.isEmpty else { throw BadInput("it has no list \"ops\"") }
        guard let expect else { throw BadInput("it has no list \"expect\"") }
        guard ops.count == expect.count else {
            throw BadInput("it has \(ops.count) ops and \(expect.count) expectations")
        }
        return try zip(ops, expect).enumerated().map { index, pair in
            guard let op = pair.0.wrappedValue, (1...2).contains(op.count),
                case .text(let name) = op[0]
            else {
                throw BadInput("op \(index + 1) must be a list of a name and at most one argument")
            }
            guard let expected = pair.1.wrappedValue else {
                throw BadInput("expectation \(index + 1) is no object")
            }
            return ConformanceStep(
                number: index + 1, name: name, argument: op.count == 2 ? op[1] : nil,
                expected: expected)
        }
    }
}

/// One operation of a case, and what is expected of it.
struct ConformanceStep {
    /// Counted from 1.
    let number: Int
    let name: String
    let argument: ConformanceValue?
    let expected: [String: ConformanceValue]

    /// The step as a report names it.
    var title: String { "op \(number), \(name)" + (argument.map { " \($0)" } ?? "") }

    /// The number that the operation is given; `absent` when it is given none.
    func integer(in range: ClosedRange<Int32>, absent: Int32? = nil) throws -> Int32 {
        if argument == nil, let absent { return absent }
        guard case .integer(let value)? = argument, range.contains(value) else {
            let wanted =
                range.count == 1
                ? "no number but \(range.lowerBound)"
                : "a whole number from \(range.lowerBound) to \(range.upperBound)"
            throw BadInput("op \(number), \(name.quoted), takes \(wanted)")
        }
        return value
    }

    /// The 64 bits that the operation is given as digits.
    func digits(in range: ClosedRange<UInt64>) throws -> UInt64 {
        guard case .digits(let value)? = argument, range.contains(value) else {
            let wanted = "a number from \(range.lowerBound) to \(range.upperBound)"
            throw BadInput("op \(number), \(name.quoted), takes \(wanted), between quotation marks")
        }
        return value
    }

    /// Refuses an expectation that has the keys of none of `shapes`, or a value of another kind.
    func requireExpectation(_ shapes: [[String: ExpectedKind]]) throws {
        guard let shape = shapes.first(where: { Set($0.keys) == Set(expected.keys) }) else {
            let keys = shapes.map { $0.keys.sorted().joined(separator: ", ") }.joined(
                separator: "; or ")
            throw BadInput(
                "expectation \(number), of \(name.quoted), must have exactly the keys \(keys)")
        }
        for (key, kind) in shape.sorted(by: { $0.key < $1.key })
        where !kind.includes(expected[key] ?? .null) {
            throw BadInput("\"\(key)\" of expectation \(number) must be \(kind)")
        }
    }

    /// The refusal of an operation that a suite does not have.
    var unknown: BadInput {
        BadInput("op \(number) is \(name.quoted), which this suite does not have")
    }
}

/// What the value of an expectation may be. It says what can be read, not what is right: that is
/// for the run to find.
enum ExpectedKind: CustomStringConvertible {
    case int32, int32OrNull, int32s, bool, text, digits

    func includes(_ value: ConformanceValue) -> Bool {
        switch (self, value) {
        case (.int32, .integer), (.int32OrNull, .integer), (.int32OrNull, .null), (.bool, .bool),
            (.text, .text), (.digits, .digits), (.int32s, .integers):
            true
        default: false
        }
    }

    var description: String {
        switch self {
        case .int32: "a whole number of 32 bits"
        case .int32OrNull: "a whole number of 32 bits or null"
        case .int32s: "a list of whole numbers of 32 bits"
        case .bool: "true or false"
        case .text: "a text"
        case .digits: "a number of 64 bits, between quotation marks"
        }
    }
}
