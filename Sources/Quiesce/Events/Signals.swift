// SPDX-License-Identifier: Apache-2.0

/// What is added to an event, each time that there is something to take, until the event is closed.
///
///     for try await count in event.signals { … }
///
/// An element is what `take()` returns: of a counter, all that was added since the last one; of a
/// semaphore, 1. The sequence ends when the event is closed and nothing is left in it. Several
/// iterations of one event share what there is: each signal comes to one of them. An iteration that
/// waits when its task is cancelled throws `CancellationError`, and has taken nothing.
public struct Signals: AsyncSequence, Sendable {
    let take: @Sendable () async throws -> UInt64

    public struct Iterator: AsyncIteratorProtocol {
        let take: @Sendable () async throws -> UInt64
        private var isOver = false

        init(_ take: @escaping @Sendable () async throws -> UInt64) { self.take = take }

        public mutating func next() async throws -> UInt64? {
            if isOver { return nil }
            do { return try await take() } catch QuiesceError.closed {
                isOver = true
                return nil
            }
        }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(take) }
}

extension EventCounter {
    /// What is added to the event from now on, and what is in it.
    public var signals: Signals { Signals { [self] in try await take() } }
}

extension EventFD {
    /// What is added to the event from now on, and what is in it.
    public var signals: Signals { Signals { [self] in try await take() } }
}
