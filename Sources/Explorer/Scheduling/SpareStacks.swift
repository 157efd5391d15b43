// SPDX-License-Identifier: Apache-2.0

/// Stacks for threads and tasks to come.
///
/// The system may refuse memory for one more. A thread or task starts only while there are stacks
/// for it and for what runs at the end of an execution, so that an execution which gets no memory
/// can still be ended.
struct SpareStacks: ~Copyable {
    private let stacks = Stack<Fiber>(capacity: 16)

    /// How many the end of an execution may need: one each for the runtime's chores, for what runs
    /// afterwards, and for the two parts of what an execution releases.
    static let reserve = 4

    /// Whether there are `count` stacks now, and a reserve; false where the system refuses memory.
    @inline(__always)
    func have(_ count: Int) -> Bool {
        stacks.count >= count + Self.reserve || fill(count + Self.reserve)
    }

    @inline(never)
    private func fill(_ count: Int) -> Bool {
        while stacks.count < count {
            guard let stack = Fiber.make() else { return false }
            stacks.append(stack)
        }
        return true
    }

    func take() -> Fiber {
        if stacks.count > 0 {
            let stack = stacks[stacks.count - 1]
            stacks.truncate(to: stacks.count - 1)
            return stack
        }
        guard let stack = Fiber.make() else {
            fatalError("no memory for the stack of an explored thread")
        }
        return stack
    }

    func destroyAll() {
        for index in 0..<stacks.count { stacks[index].destroy() }
        stacks.removeAll()
    }
}
