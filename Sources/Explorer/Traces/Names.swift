// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What the objects of an execution are called: by their labels, or while a trace is recorded by
/// what they are.
final class Names {
    private var names: [Int32: String] = [:]
    // To ask the dictionary costs more.
    private var isUsed = false

    subscript(object: Int32) -> String? {
        get { names[object] }
        set {
            isUsed = true
            names[object] = newValue
        }
    }

    func beginExecution() {
        guard isUsed else { return }
        isUsed = false
        names.removeAll(keepingCapacity: true)
    }

    /// Calls the object the next one of its kind.
    func number(_ object: Int32, as kind: String) {
        let number = names.values.count { $0.hasPrefix(kind + " ") } + 1
        self[object] = "\(kind) \(number)"
    }
}

// How sentences and traces refer to threads and objects.
extension Scheduler {
    /// While recording, gives an object that has no label a name that says what it is.
    func nameObject(of thread: Int32) {
        let object = threads[thread].object
        guard object > ObjectTable.last, names[object] == nil else { return }
        // A wait point's queue goes by the name of its word, which may have been given one.
        if objects[object].address & 1 == 1,
            names[self.object(at: objects[object].address - 1)] != nil
        {
            return
        }
        let kind =
            switch threads[thread].kind {
            case .lock, .tryLock, .unlock: "mutex"
            case .readLock, .tryReadLock, .readUnlock, .writeRequest, .writeLock, .tryWriteLock,
                .writeUnlock:
                "lock"
            case .wait, .signal, .broadcast: "condition"
            case .park, .wake: "wait point"
            case .touch: "memory"
            case .machine: machines[threads[thread].step(of: thread).machine].kind
            default: "atomic"
            }
        names.number(object, as: kind)
    }

    func name(ofThread thread: Int32) -> String {
        guard thread >= 0 else { return "nobody" }
        return threads.names[Int(thread)].isEmpty ? "thread \(thread)" : threads.names[Int(thread)]
    }

    func names(ofThreads set: UInt64) -> String {
        var set = set
        var names: [String] = []
        while set != 0 {
            names.append(threads.names[set.trailingZeroBitCount])
            set &= set - 1
        }
        return names.joined(separator: ", ")
    }

    func name(of object: Int32) -> String {
        if let name = names[object] { return name }
        switch object {
        case -1: return "nothing"
        case ObjectTable.clock: return "the clock"
        case ObjectTable.barrier: return "the barrier"
        case ObjectTable.threads: return "the threads"
        case ObjectTable.jobs: return "what jobs share"
        case ObjectTable.mainActor: return "the main actor"
        case ObjectTable.arrivals: return "the queues of actors"
        case ObjectTable.allocator: return "memory"
        case ObjectTable.marks: return "declared order"
        default: break
        }
        return "object \(object)"
    }

    func describe(_ event: Event) -> String {
        var text = "\(name(ofThread: event.thread)): \(event.kind)"
        if event.footprint.count > 0 { text += " of \(name(of: event.footprint.object(0)))" }
        return text
    }
}
