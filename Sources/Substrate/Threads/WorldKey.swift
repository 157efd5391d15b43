// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The name of an object of which every world has one: `World.value(_:make:)` finds it.
///
/// Make one for each kind of object, in a static constant: keys are counted, and never given back.
public struct WorldKey<Value: AnyObject & Sendable>: Sendable {
    @usableFromInline let index: Int

    /// A key of its own.
    public init() {
        index = WorldKeys.take()
    }

    init(index: Int) { self.index = index }
}

/// The numbers of the process's keys.
enum WorldKeys {
    /// How many kinds of objects a world can have.
    static let limit = 32
    /// The number of the table of the threads' rows, which a world makes without its lock.
    static let presence = 0

    private static let next = Synchronization.Atomic(presence + 1)

    static func take() -> Int {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard index < limit else {
            fatalError("more than \(limit - 1) keys of worlds; make each WorldKey once")
        }
        return index
    }
}
