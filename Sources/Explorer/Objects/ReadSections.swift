// SPDX-License-Identifier: Apache-2.0

/// The readers inside reader-writer locks: which event each entered with.
final class ReadSections {
    private struct Section: BitwiseCopyable {
        var lock: Int32
        var thread: Int32
        var event: Int32
    }

    private let sections = Stack<Section>(capacity: 16)

    func beginExecution() { sections.removeAll() }

    func begin(_ lock: Int32, by thread: Int32, at event: Int32) {
        sections.append(Section(lock: lock, thread: thread, event: event))
    }

    /// Ends the thread's innermost section of the lock. Returns the event that began it, nil where
    /// there is none.
    func end(_ lock: Int32, by thread: Int32) -> Int32? {
        var index = sections.count - 1
        while index >= 0, sections[index].lock != lock || sections[index].thread != thread {
            index -= 1
        }
        guard index >= 0 else { return nil }
        let event = sections[index].event
        for later in index + 1..<sections.count { sections[later - 1] = sections[later] }
        sections.truncate(to: sections.count - 1)
        return event
    }

    /// Whether `thread` is a reader of the lock.
    func isInside(_ lock: Int32, _ thread: Int32) -> Bool {
        for index in 0..<sections.count
        where sections[index].lock == lock && sections[index].thread == thread {
            return true
        }
        return false
    }

    /// The reader of the lock that came first, of those other than `thread`; -1 for none.
    func reader(of lock: Int32, except thread: Int32) -> Int32 {
        for index in 0..<sections.count
        where sections[index].lock == lock && sections[index].thread != thread {
            return sections[index].thread
        }
        return -1
    }
}
