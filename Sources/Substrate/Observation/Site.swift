// SPDX-License-Identifier: Apache-2.0

/// The place in the source that performs an operation.
///
/// Every operation takes one as defaulted arguments. It costs nothing when nobody watches.
public struct Site: Sendable, BitwiseCopyable {
    public let file: StaticString
    public let line: UInt

    @inlinable
    public init(_ file: StaticString, _ line: UInt) {
        self.file = file
        self.line = line
    }
}
