// SPDX-License-Identifier: Apache-2.0

/// What a scheduler keeps for programs with tasks.
final class JobState {
    /// Whether an execution has had a task.
    var isUsed = false
    /// Whether the main task has come to its end.
    var mainHasEnded = false
    /// A task that never runs while it is explored: it keeps the task-local values that threads
    /// find. 0 for none.
    var lender: UInt = 0
    var awaitsLender = false
    /// By default actor: the last event of the task that it served last.
    let lastOfActor = AddressTable()
    /// The runtime's mutexes that fibers hold.
    let locks = Stack<RuntimeLock>(capacity: 8)
    /// Tasks of this execution that have not ended.
    var unfinished = 0
    /// Tasks of this execution by the address of their job.
    let table = AddressTable()
    /// By the address of its job, the runtime's number of a task; kept where ends are unannounced.
    let identities = AddressTable()
    /// By address: the last task that has completed there.
    let completed = AddressTable()
    /// Jobs of the runtime's own that come before the next step: an actor takes its first task, a
    /// task that yields is queued again.
    let chores = Stack<UInt>(capacity: 16)
    private var firstChore = 0
    /// Tasks that wait for the main actor, in the order of their arrival.
    let mainQueue = Stack<Int32>(capacity: 16)
    var firstOfMain = 0
    /// The task that runs on the main actor, and the last event of the one before.
    var mainHolder: Int32 = -1
    var mainLast: Int32 = -1
    /// Fibers that run jobs, and those of them that run none.
    private let carriers = Stack<Fiber>(capacity: 16)
    private let free = Stack<Fiber>(capacity: 16)
    /// The fiber that runs.
    var running: Fiber?
    /// Where other threads leave what they do to tasks.
    let inbox = ForeignInbox()
    /// Whether work was handed to a thread that nobody explores; whether one may have been woken.
    var hasHandedOver = false
    var mayHaveWoken = false
    /// Whether the explorer has waited for such a thread, and whether it expected one that did not
    /// come.
    var hasWaited = false
    var hasWaitedInVain = false
    /// The thread that ran before the chores that run now.
    var beforeChores: Int32 = -1

    var hasChores: Bool { firstChore < chores.count }

    func popChore() -> UInt? {
        guard firstChore < chores.count else { return nil }
        defer {
            firstChore += 1
            if firstChore == chores.count {
                chores.removeAll()
                firstChore = 0
            }
        }
        return chores[firstChore]
    }

    func beginExecution() {
        table.removeAll()
        completed.removeAll()
        identities.removeAll()
        lastOfActor.removeAll()
        chores.removeAll()
        firstChore = 0
        mainQueue.removeAll()
        firstOfMain = 0
        mainHolder = -1
        mainLast = -1
        beforeChores = -1
        mainHasEnded = false
        locks.removeAll()
        unfinished = 0
        free.removeAll()
        for index in 0..<carriers.count { free.append(carriers[index]) }
    }

    var hasFreeCarrier: Bool { free.count > 0 }

    func takeCarrier(_ stacks: SpareStacks) -> Fiber {
        if free.count > 0 {
            let fiber = free[free.count - 1]
            free.truncate(to: free.count - 1)
            return fiber
        }
        let fiber = stacks.take()
        carriers.append(fiber)
        return fiber
    }

    /// Makes a thread's fiber one that carries jobs.
    func adopt(_ fiber: Fiber) {
        carriers.append(fiber)
        free.append(fiber)
    }

    /// Takes back a fiber that has nothing more to run: it is left for good.
    func giveBack(_ fiber: Fiber) { free.append(fiber) }

    func destroyCarriers() {
        for index in 0..<carriers.count { carriers[index].destroy() }
        carriers.removeAll()
        free.removeAll()
    }
}
