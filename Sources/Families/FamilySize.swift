// SPDX-License-Identifier: Apache-2.0

/// A family's size: `5`, `2x4` or `2,1`.
public struct FamilySize: Sendable, CustomStringConvertible {
    public let numbers: [Int]
    public let description: String

    subscript(index: Int) -> Int { numbers[index] }

    /// Why a text is not a size.
    public enum Failure: Error, CustomStringConvertible, Equatable {
        case malformed(String)
        case wrongArity(family: String, hint: String)

        public var description: String {
            switch self {
            case .malformed(let text):
                "\"\(text)\" is not a size; sizes are written 5, 2x4 or 2,1, each number at most \(FamilySize.largest)"
            case .wrongArity(let family, let hint): "the size of \(family) is written like \(hint)"
            }
        }
    }

    private static let largest = 60

    /// Reads a size.
    public init(_ text: String) throws(Failure) {
        let separators = text.filter { $0 == "x" || $0 == "," }
        let parts = text.split(omittingEmptySubsequences: false) { $0 == "x" || $0 == "," }
        let numbers = parts.compactMap { Int($0) }
        guard separators.count <= 1, numbers.count == parts.count,
            numbers.allSatisfy({ $0 >= 0 && $0 <= FamilySize.largest }),
            numbers.contains(where: { $0 > 0 })
        else { throw .malformed(text) }
        self.numbers = numbers
        description = text
    }
}
