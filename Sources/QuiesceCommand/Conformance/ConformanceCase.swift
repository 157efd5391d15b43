// SPDX-License-Identifier: Apache-2.0

/// One case of a file. What it asks of the file throws `BadInput`, to which the file adds its name
/// and the case's.
struct ConformanceCase {
    let members: [String: JSONValue]

    func bool(_ key: String) throws -> Bool {
        guard case .bool(let value)? = members[key] else {
            throw BadInput("\"\(key)\" must be true or false")
        }
        return value
    }

    func integer(_ key: String, in range: ClosedRange<Int64>) throws -> Int64 {
        guard case .integer(let value)? = members[key], range.contains(value) else {
            throw BadInput(
                "\"\(key)\" must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// The operations, each with what is expected of it.
    func steps() throws -> [ConformanceStep] {
        guard let ops = members["ops"]?.array, !ops.isEmpty else {
            throw BadInput("it has no list \"ops\"")
        }
        guard let expected = members["expect"]?.array else {
            throw BadInput("it has no list \"expect\"")
        }
        guard ops.count == expected.count else {
            throw BadInput("it has \(ops.count) ops and \(expected.count) expectations")
        }
        return try zip(ops, expected).enumerated().map { index, pair in
            let (op, expected) = pair
            guard let parts = op.array, (1...2).contains(parts.count), let name = parts[0].string
            else {
                throw BadInput("op \(index + 1) must be a list of a name and at most one argument")
            }
            guard let members = expected.object else {
                throw BadInput("expectation \(index + 1) is no object")
            }
            return ConformanceStep(
                number: index + 1, name: name, argument: parts.count == 2 ? parts[1] : nil,
                expected: members)
        }
    }
}

/// One operation of a case, and what is expected of it.
struct ConformanceStep {
    /// Counted from 1.
    let number: Int
    let name: String
    let argument: JSONValue?
    let expected: [String: JSONValue]

    /// The step as a report names it.
    var title: String { "op \(number), \(name)" + (argument.map { " \($0)" } ?? "") }

    /// The number that the operation is given; `absent` when it is given none.
    func integer(in range: ClosedRange<Int64>, absent: Int64? = nil) throws -> Int64 {
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

    /// The 64 bits that the operation is given as digits, because JSON's readers do not agree on
    /// greater numbers than 2⁵³.
    func digits(in range: ClosedRange<UInt64>) throws -> UInt64 {
        guard let value = argument?.string.flatMap(UInt64.init(digits:)), range.contains(value)
        else {
            throw BadInput(
                "op \(number), \(name.quoted), takes a number from \(range.lowerBound) to \(range.upperBound), "
                    + "between quotation marks")
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
    case int32, int32OrNull, bool, string, digits

    func includes(_ value: JSONValue) -> Bool {
        switch (self, value) {
        case (.int32, .integer(let number)), (.int32OrNull, .integer(let number)):
            Int32(exactly: number) != nil
        case (.int32OrNull, .null), (.bool, .bool), (.string, .string): true
        case (.digits, .string(let text)): UInt64(digits: text).map { "\($0)" == text } ?? false
        default: false
        }
    }

    var description: String {
        switch self {
        case .int32: "a whole number of 32 bits"
        case .int32OrNull: "a whole number of 32 bits or null"
        case .bool: "true or false"
        case .string: "a text"
        case .digits: "a number of 64 bits, between quotation marks"
        }
    }
}

extension UInt64 {
    /// The number that `digits` spell: digits alone, without a sign.
    init?(digits: String) {
        guard digits.utf8.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains) else {
            return nil
        }
        self.init(digits)
    }
}
