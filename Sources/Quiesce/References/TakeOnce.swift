// SPDX-License-Identifier: Apache-2.0

import Substrate

/// A box whose value is taken out once, by one of the closures that share the box.
///
/// An escaping closure cannot consume what it captures, as it may be called twice. It can take a
/// noncopyable value, such as a `Reference`, out of a box:
///
///     let box = TakeOnce(device.share())
///     _ = queue.enqueue {
///         guard let device = box.take() else { return }
///         …
///     }
///
/// A value that nobody takes ends with the box.
public final class TakeOnce<Value: ~Copyable & Sendable>: Sendable {
    private let value: Unsynchronized<Value?>
    private let isTaken = Atomic(false)

    public init(_ value: consuming Value) {
        self.value = Unsynchronized(value)
        self.value.label("value")
        isTaken.label("taken")
    }

    /// Takes the value; nil when it has been taken.
    ///
    /// One atomic exchange, which orders nothing else: how a thread came to have the box
    /// orders the value before it.
    public func take() -> Value? {
        guard !isTaken.exchange(true, ordering: .relaxed) else { return nil }
        return value.withValue { $0.take() }
    }
}
