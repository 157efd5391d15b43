// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Which thread is inside of what, and which waits for what, as primitives declare it.
///
/// A thread that waits for a gate, a queue or an item waits for the threads that are inside of its
/// sections. So a cycle through one of these waits is found as one through locks is.
final class DeclaredWaits {
    /// A thread is inside of a section that others can wait for.
    private struct Section: Equatable {
        var role: WaitClass.Role
        var instance: UInt
        var thread: Int32
    }

    /// A thread waits for those inside of the sections of `instance`.
    struct Wait {
        var thread: Int32
        var role: WaitClass.Role
        var instance: UInt
        /// While a trace is recorded: what is waited for.
        var name = ""
    }

    private var sections: [Section] = []
    private var waits: [Wait] = []
    // To ask the arrays costs more.
    private var isUsed = false

    func beginExecution() {
        guard isUsed else { return }
        isUsed = false
        sections.removeAll(keepingCapacity: true)
        waits.removeAll(keepingCapacity: true)
    }

    func section(of waitClass: WaitClass, _ thread: Int32, begins: Bool) {
        let section = Section(role: waitClass.role, instance: waitClass.instance, thread: thread)
        isUsed = true
        if begins { return sections.append(section) }
        if let index = sections.lastIndex(of: section) { sections.remove(at: index) }
    }

    func begin(_ wait: Wait) {
        isUsed = true
        waits.append(wait)
    }

    func end(_ waitClass: WaitClass, _ thread: Int32) {
        guard
            let index = waits.lastIndex(where: {
                $0.thread == thread && $0.role == waitClass.role
                    && $0.instance == waitClass.instance
            })
        else { return }
        waits.remove(at: index)
    }

    /// What the thread waits for, the innermost wait first: an item, and then the queue in which
    /// the item stands in line.
    func waits(of thread: Int32) -> [Wait] { waits.filter { $0.thread == thread }.reversed() }

    /// The threads that are inside of what `wait` is for, each once.
    func inside(_ wait: Wait) -> [Int32] {
        var threads: [Int32] = []
        for section in sections
        where section.role == wait.role && section.instance == wait.instance
            && !threads.contains(section.thread)
        {
            threads.append(section.thread)
        }
        return threads
    }
}

extension Scheduler {
    /// A section begins or ends; a task's may begin on one thread and end on another.
    func noteSection(_ waitClass: WaitClass, _ owner: WaitClass.Owner, begins: Bool) {
        guard mode == .exploring || mode == .finishing else { return }
        let thread =
            switch owner {
            case .thread: current
            case .task(let job): jobs.table.value(of: job)
            }
        guard thread >= 0 else { return }
        declaredWaits.section(of: waitClass, thread, begins: begins)
    }

    func noteWait(_ waitClass: WaitClass, _ name: () -> String, begins: Bool) {
        // A join and a condition's wait are steps that say so themselves.
        guard mode == .exploring, current >= 0, waitClass.role != .thread,
            waitClass.role != .condition
        else { return }
        guard begins else { return declaredWaits.end(waitClass, current) }
        var wait = DeclaredWaits.Wait(
            thread: current, role: waitClass.role, instance: waitClass.instance)
        if let recorder {
            wait.name = name()
            recorder.note(thread: current, .waiting(wait.name), site: nil)
            recorder.callers[current] = callers()
        }
        declaredWaits.begin(wait)
    }
}
