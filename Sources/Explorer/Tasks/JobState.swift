// SPDX-License-Identifier: Apache-2.0

/// What a scheduler keeps for programs with tasks.
final class JobState {
    /// Whether an execution has had a task.
    var isUsed = false
    /// Whether the main task has come to its end.
    var mainHasEnded = false
    /// A task that never runs while it is explored: it keeps the task-local values that threads find. 0 for none.
    var lender: UInt = 0
    var awaitsLender = false
    /// By default actor: the last event of the task that it served last.
    let lastOfActor = JobTable()
    /// Tasks that the running step may have begun to cancel.
    let cancelled = Stack<Int32>(capacity: 8)
    /// Tasks of this execution that have not ended.
    var unfinished = 0
    /// Tasks of this execution by the address of their job.
    let table = JobTable()
    /// Jobs of the runtime's own that come before the next step: an actor takes its first task, a task that yields is queued again.
    let chores = Stack<UInt>(capacity: 16)
    private var firstChore = 0
    /// Tasks that wait for the main actor, in the order of their arrival.
    let mainQueue = Stack<Int32>(capacity: 16)
    var firstOfMain = 0
    /// The task that runs on the main actor, and the last event of the one before.
    var mainHolder: Int32 = -1
    var mainLast: Int32 = -1
    var mainPrevious: Int32 = -1
    /// Fibers that run jobs; those past `used` are free.
    private let carriers = Stack<Fiber>(capacity: 16)
    private let free = Stack<Fiber>(capacity: 16)
    /// The fiber that runs.
    var running: Fiber?
    /// Who ran before the chores that run now.
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
        lastOfActor.removeAll()
        chores.removeAll()
        firstChore = 0
        mainQueue.removeAll()
        firstOfMain = 0
        mainHolder = -1
        mainLast = -1
        mainPrevious = -1
        beforeChores = -1
        mainHasEnded = false
        cancelled.removeAll()
        unfinished = 0
        free.removeAll()
        for index in 0..<carriers.count { free.append(carriers[index]) }
    }

    func takeCarrier() -> Fiber {
        if free.count > 0 {
            let fiber = free[free.count - 1]
            free.truncate(to: free.count - 1)
            return fiber
        }
        let fiber = Fiber.make()
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
    }
}

/// From the address of a job to the thread that stands for its task.
final class JobTable {
    private struct Slot: BitwiseCopyable {
        var job: UInt = 0
        var thread: Int32 = -1
        var execution: UInt32 = 0
    }

    private let slots = Stack<Slot>(capacity: 64)
    private var used = 0
    private var execution: UInt32 = 1

    init() { slots.extend(to: 64, with: Slot()) }

    func removeAll() {
        execution &+= 1
        used = 0
    }

    @inline(__always)
    private func index(of job: UInt) -> Int {
        let mask = slots.count - 1
        var index = Int(truncatingIfNeeded: (job &>> 4) &* 0x9E37_79B9_7F4A_7C15 &>> 40) & mask
        while slots[index].execution == execution, slots[index].job != job { index = (index + 1) & mask }
        return index
    }

    /// The thread of `job`, -1 for none.
    @inline(__always)
    func thread(of job: UInt) -> Int32 {
        let slot = slots[index(of: job)]
        return slot.execution == execution ? slot.thread : -1
    }

    /// Says that `job` is from now on the one of `thread`, -1 for nobody's: an allocator gives addresses out again.
    func set(_ job: UInt, _ thread: Int32) {
        let index = index(of: job)
        if slots[index].execution != execution { used += 1 }
        slots[index] = Slot(job: job, thread: thread, execution: execution)
        if used * 2 > slots.count { grow() }
    }

    private func grow() {
        let old = (0..<slots.count).map { slots[$0] }
        slots.refill(old.count * 2, with: Slot())
        used = 0
        for slot in old where slot.execution == execution {
            slots[self.index(of: slot.job)] = slot
            used += 1
        }
    }
}

/// A timer that was stopped: the step that it would have taken, and the step that kept it from it.
struct StoppedTimer: BitwiseCopyable {
    var fire: Event
    var position: Int32
}
