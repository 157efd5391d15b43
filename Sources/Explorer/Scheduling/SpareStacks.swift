// SPDX-License-Identifier: Apache-2.0

/// Makes the stacks of threads and tasks, and keeps some for when the system refuses memory.
///
/// An execution that gets no memory for a stack ends; what it has begun still takes some stacks to
/// come to its end.
final class SpareStacks {
    private let stacks = Stack<Fiber>(capacity: 16)
    /// Whether the system has refused memory when it was last asked.
    private var isRefused = false
    /// Whether the reserve is in use.
    var isShort: Bool { isRefused && stacks.count < Self.reserve }

    /// How many the end of an execution may need: for the runtime's chores, for the cancellation of
    /// tasks, for what runs afterwards, and for the two parts of what is released. A part that is
    /// abandoned takes one more.
    private static let reserve = 8

    /// Whether there is a reserve; false where the system refuses memory for it.
    @inline(__always)
    var hasReserve: Bool { stacks.count >= Self.reserve || fill() }

    @inline(never)
    private func fill() -> Bool {
        while stacks.count < Self.reserve {
            guard let stack = make() else { return false }
            stacks.append(stack)
        }
        return true
    }

    private func make() -> Fiber? {
        let stack = Fiber.make()
        isRefused = stack == nil
        return stack
    }

    /// A new stack, or one of the reserve where the system refuses memory.
    func take() -> Fiber {
        if let stack = make() { return stack }
        guard stacks.count > 0 else {
            fatalError("no memory for the stack of an explored thread")
        }
        let stack = stacks[stacks.count - 1]
        stacks.truncate(to: stacks.count - 1)
        return stack
    }

    func destroyAll() {
        for index in 0..<stacks.count { stacks[index].destroy() }
        stacks.removeAll()
    }
}
