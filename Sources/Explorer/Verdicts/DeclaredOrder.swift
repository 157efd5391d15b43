// SPDX-License-Identifier: Apache-2.0

import Substrate

/// What the program declares to come first, and what has come so far.
final class DeclaredOrder {
    private var constraints: [(first: String, second: String)] = []
    private var marks: Set<String> = []
    // To ask the array costs more.
    private var isUsed = false

    func beginExecution() {
        guard isUsed else { return }
        isUsed = false
        constraints.removeAll(keepingCapacity: true)
        marks.removeAll(keepingCapacity: true)
    }

    func declare(_ first: String, before second: String) {
        isUsed = true
        constraints.append((first, second))
    }

    /// Whether some order names this place.
    func names(_ label: String) -> Bool {
        constraints.contains { $0.first == label || $0.second == label }
    }

    /// The place is reached. Returns those that were to be reached before and were not.
    func reach(_ label: String) -> [String] {
        marks.insert(label)
        return constraints.filter { $0.second == label && !marks.contains($0.first) }.map(\.first)
    }
}

extension Scheduler {
    func markReached(_ label: String, _ site: Site) {
        guard mode == .exploring || mode == .finishing else { return }
        let thread = current
        guard order.names(label) else {
            recorder?.note(thread: thread, .note(label), site: site)
            return
        }
        // One object for all marks: their order is what is explored.
        let object = ObjectTable.marks
        threads[thread].object = object
        threads[thread].kind = .mark
        park(thread)
        if mode == .draining { return }
        var event = Event(thread: thread, kind: .mark)
        event.footprint.add(object, writes: true)
        commit(event, site: site)
        recorder?.describe(old: "", new: label)
        for first in order.reach(label) {
            fail(
                .orderViolation,
                "\(name(ofThread: thread)) got to \(label)\(at(Int32(recorder.map { $0.count - 1 } ?? -1))) before \(first), which was declared to come first",
                steps: recorder.map { [$0.count - 1] } ?? [], objects: [object])
        }
    }
}
