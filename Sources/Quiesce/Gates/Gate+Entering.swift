// SPDX-License-Identifier: Apache-2.0

// Further spellings of an entry, for callers whom an optional does not suit.
extension Gate {
    /// Calls `body` inside the gate, and returns what it returns. Returns nil, without calling it,
    /// when the gate is closing: the two reasons for nil are not told apart.
    @inlinable
    @inline(__always)
    public func withEntry<Result: ~Copyable, Failure: Error>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Entry) throws(Failure) -> Result?
    ) throws(Failure) -> Result? {
        guard let entry = enter(file, line) else { return nil }
        return try body(entry)
    }

    /// Calls `body` inside the gate, and returns what it returns.
    ///
    /// - Throws: `QuiesceError.closed`, without calling `body`, when the gate is closing; otherwise
    ///   what `body` throws.
    @inlinable
    @inline(__always)
    public func withEntryOrThrow<Result: ~Copyable>(
        file: StaticString = #filePath, line: UInt = #line,
        _ body: (borrowing Entry) throws -> Result
    ) throws -> Result {
        guard let entry = enter(file, line) else { throw QuiesceError.closed(name) }
        return try body(entry)
    }

    /// Calls `body` inside the gate, where it may suspend, and returns what it returns.
    ///
    /// - Throws: `QuiesceError.closed`, without calling `body`, when the gate is closing; otherwise
    ///   what `body` throws.
    public func withTaskEntryOrThrow<Result>(
        _ body: (borrowing Entry) async throws -> Result
    ) async throws -> Result {
        // Whether it was called is told by the optional alone: `Result` may be optional itself.
        let found: Result? = try await withTaskOwnedEntry { entry in try await body(entry) }
        guard let found else { throw QuiesceError.closed(name) }
        return found
    }
}
