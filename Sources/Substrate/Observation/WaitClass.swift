// SPDX-License-Identifier: Apache-2.0

/// A kind of section that a thread can wait for: the entries of a gate, the items of a queue, a
/// grace period.
///
/// A primitive that can block declares its waits with `section(_:)` and `waiting(_:)`, so that a
/// validator sees them as the virtual locks they are. Unwatched, both are one predicted branch.
public struct WaitClass: Sendable, Hashable {
    public let name: String

    public init(_ name: String) {
        self.name = name
    }

    /// A section of this class begins on the running thread, and ends with `end`. For scopes that
    /// are no closure.
    @inlinable
    public func begin() { Watch.observer?.section(of: self, begins: true) }

    /// Ends the section that `begin` began.
    @inlinable
    public func end() { Watch.observer?.section(of: self, begins: false) }

    /// Runs `body` as a section of this class.
    @inlinable
    public func section<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        Watch.observer?.section(of: self, begins: true)
        defer { Watch.observer?.section(of: self, begins: false) }
        return try body()
    }

    /// Runs `body`, which waits for the sections of this class that have begun.
    @inlinable
    public func waiting<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        Watch.observer?.waits(for: self, begins: true)
        defer { Watch.observer?.waits(for: self, begins: false) }
        return try body()
    }

    /// Runs `body`, which waits for the sections of this class that have begun.
    @inlinable
    public func waiting<Result: ~Copyable, Failure: Error>(
        _ body: () async throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        Watch.observer?.waits(for: self, begins: true)
        // Perhaps on another thread.
        defer { Watch.observer?.waits(for: self, begins: false) }
        return try await body()
    }
}
