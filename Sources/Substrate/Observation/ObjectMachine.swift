// SPDX-License-Identifier: Apache-2.0

/// A kind of object as a pure state machine, with all that an explorer has to know of it.
///
/// A primitive that atomics, locks and waits do not make up keeps its machine beside it, in one
/// file, and asks it first: `if let result = machine.perform(…) { return result }`. A watching
/// explorer then schedules the operation as a step of its own. Whether the step can be taken
/// somewhere else in an execution, what it finds and touches there, and which change stands in its
/// way, the explorer computes by applying it to the state there.
public final class ObjectMachine: Sendable {
    /// What one of its objects is called in traces, with a number, when it carries no label.
    public let kind: String
    /// How the operations order memory, by their numbers.
    public let orders: [MemoryOrder]
    private let step: @Sendable (UInt8, UInt64, Bits) -> Transition?
    private let words: @Sendable (UInt8, UInt64, String) -> String

    /// What comes of an operation.
    public struct Transition: BitwiseCopyable {
        /// The state that it leaves. Where that is the one it found, the operation has only read.
        public var state: Observer.Bits
        /// What it answers.
        public var result: UInt64

        public init(_ state: Observer.Bits, result: UInt64 = 0) {
            self.state = state
            self.result = result
        }
    }

    /// - Parameters:
    ///   - step: what an operation with an argument does in a state; nil where it has to wait. A
    ///     pure function.
    ///   - words: how a trace tells an operation, of the given result, on the object of that name.
    public init(
        kind: String, orders: [MemoryOrder],
        step: @escaping @Sendable (UInt8, UInt64, Observer.Bits) -> Transition?,
        words: @escaping @Sendable (UInt8, UInt64, String) -> String
    ) {
        self.kind = kind
        self.orders = orders
        self.step = step
        self.words = words
    }

    /// What an operation does in `state`; nil where it has to wait.
    public func apply(
        _ operation: UInt8, _ argument: UInt64, to state: Observer.Bits
    ) -> Transition? {
        step(operation, argument, state)
    }

    /// How a trace tells it.
    public func text(_ operation: UInt8, result: UInt64, _ name: String) -> String {
        words(operation, result, name)
    }

    /// Performs the operation of the object at `address` if somebody watches this thread, and
    /// returns what it answers; nil where nobody does.
    ///
    /// - Parameter initial: the state in which the object was made.
    public func perform(
        _ operation: UInt8, _ argument: UInt64 = 0, at address: UInt, from initial: Observer.Bits,
        _ site: Observer.Site
    ) -> UInt64? {
        guard let observer = Watch.observer else { return nil }
        return observer.with {
            $0.perform(operation, argument, of: self, at: address, from: initial, site)
        }
    }
}
