// SPDX-License-Identifier: Apache-2.0

/// An argument of an operation, or a value of an expectation.
enum ConformanceValue: Decodable, Equatable, CustomStringConvertible {
    case null
    case bool(Bool)
    case integer(Int32)
    /// 64 bits. They are spelled by a text, because JSON's readers do not agree on greater numbers
    /// than 2⁵³.
    case digits(UInt64)
    /// A text that spells no 64 bits.
    case text(String)
    case integers([Int32])
    /// A fraction, a greater number, another list or an object: no suite has a use for one.
    case other

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let integer = try? value.decode(Int32.self) {
            self = .integer(integer)
        } else if let text = try? value.decode(String.self) {
            let number = UInt64(text).flatMap { "\($0)" == text ? $0 : nil }
            self = number.map { .digits($0) } ?? .text(text)
        } else if let integers = try? value.decode([Int32].self) {
            self = .integers(integers)
        } else {
            self = .other
        }
    }

    /// The value as JSON.
    var description: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .digits(let value): "\"\(value)\""
        case .text(let value): value.quoted
        case .integers(let value): "[\(value.map(String.init).joined(separator: ","))]"
        case .other: "…"
        }
    }
}

extension [String: ConformanceValue] {
    /// The values as a JSON object on one line, keys sorted.
    var json: String {
        let members = sorted { $0.key < $1.key }.map { "\($0.key.quoted):\($0.value)" }
        return "{\(members.joined(separator: ","))}"
    }
}

/// A value of a file of cases: nil when the file has none, or one of another kind. The code that
/// needs it says in a sentence of its own what must be there.
@propertyWrapper
struct Lenient<Value: Decodable>: Decodable {
    let wrappedValue: Value?

    init(from decoder: any Decoder) throws { wrappedValue = try? Value(from: decoder) }

    fileprivate init(_ value: Value?) { wrappedValue = value }
}

extension KeyedDecodingContainer {
    /// Found by the compiler for what is `@Lenient`: it would insist on the key.
    func decode<Value>(_ type: Lenient<Value>.Type, forKey key: Key) throws -> Lenient<Value> {
        try decodeIfPresent(type, forKey: key) ?? Lenient(nil)
    }
}

extension String {
    /// The text without what would break a line or speak to a terminal, and not longer than
    /// `width`.
    func shown(_ width: Int) -> String {
        let plain = unicodeScalars.map { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                scalar.escaped(asASCII: true)
            default: String(scalar)
            }
        }.joined()
        return plain.count <= width ? plain : plain.prefix(width - 1) + "…"
    }

    /// The text between quotation marks, as a sentence shows what a file says.
    var quoted: String { "\"" + shown(60) + "\"" }
}
