// SPDX-License-Identifier: Apache-2.0

/// Makes the stacks of threads and tasks, and keeps some for when the system refuses memory.
///
/// An execution that gets no memory for a stack ends; what it has begun still takes some stacks to
/// come to its end.
final class SpareStacks {
    private let stacks = Stack<Fiber>(capacity: 16)

    /// How many the end of an execution may need: for the runtime's chores, for the cancellation of
    /// tasks, for what runs afterwards, and for the two parts of what is released. A part that is
    /// abandoned takes one more.
    private static let reserve = 8

    /// Whether the reserve is in use, which an execution begins with: the system refuses memory.
    var isShort: Bool { stacks.count < Self.reserve }

    /// Whether something more can end the execution; one stack stays for the runtime's chores.
    var hasSpare: Bool { stacks.count > 1 }

    /// Whether there is a reserve; false where the system refuses memory for it.
    @inline(__always)
    var hasReserve: Bool { stacks.count >= Self.reserve || fill() }

    @inline(never)
    private func fill() -> Bool {
        while stacks.count < Self.reserve {
            guard let stack = Fiber.make() else { return false }
            stacks.append(stack)
        }
        return true
    }

    /// A new stack, or one of the reserve where the system refuses memory.
    func take() -> Fiber {
        if let stack = Fiber.make() { return stack }
        // An execution begins, and each of its ends, only where there is one.
        let stack = stacks[stacks.count - 1]
        stacks.truncate(to: stacks.count - 1)
        return stack
    }

    func destroyAll() {
        for index in 0..<stacks.count { stacks[index].destroy() }
        stacks.removeAll()
    }
}
