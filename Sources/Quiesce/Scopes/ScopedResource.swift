// SPDX-License-Identifier: Apache-2.0

import Substrate

extension ResourceList {
    /// One entry of the list.
    struct Resource: Sendable {
        /// Given by the list.
        var number: UInt64 = 0
        let name: String
        /// Nothing while its release runs, and in a gap.
        var content: Content?
        let phase: Phase
        /// The thread that added it.
        let adder: UInt32

        init(_ name: String, _ content: consuming Content, _ phase: Phase, by adder: UInt32) {
            self.name = name
            self.content = consume content
            self.phase = phase
            self.adder = adder
        }

        var isPending: Bool { content != nil }
    }

    /// How a resource is released.
    enum Content: Sendable {
        case action(@Sendable () throws -> Void)
        case value(any ScopedValue)

        /// The value that it is, if it is one.
        var value: (any ScopedValue)? {
            if case .value(let value) = self { value } else { nil }
        }
    }
}

/// A value that users may have to leave before it is released.
protocol ScopedValue: AnyObject, Sendable {
    /// Refuses new users, and waits for those there are.
    func drain(until deadline: WorldClock.Instant?) throws(QuiesceError)
    func drain(until deadline: WorldClock.Instant?) async throws

    /// Releases the value, which has no users any more.
    func finish() throws
}
