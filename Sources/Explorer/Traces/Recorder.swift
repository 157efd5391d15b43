// SPDX-License-Identifier: Apache-2.0

import Substrate

/// Keeps what happened in one execution, for a person to read.
final class Recorder {
    enum Action {
        case event(Event)
        case note(String)
        case allocate(String)
        case plainRead(Int32)
        case plainWrite(Int32)
        case waiting(String)
        /// The thread could have gone on, and another one was picked.
        case preempted(atAwait: Bool)
        /// At the end: what the thread waits for, and for whom.
        case blocked(String, on: String)
        /// Once every thread had ended, what is dead was used: a verb, and the object's name.
        case late(String, of: String)
    }

    struct Entry {
        var thread: Int32
        var action: Action
        var object: Int32 = -1
        var other: Int32 = -1
        var site: Site?
        var old = ""
        var new = ""
        var woken = ""
        var place: CodePlace?
        /// Where a task goes on: functions, innermost first.
        var frames: [UInt] = []
        /// Whether a storage access read or wrote.
        var isWrite: Bool?
        /// The entries of the same thread's last event and of what this one conflicts with are
        /// found by position.
        var position = -1
    }

    private(set) var entries: [Entry] = []
    private(set) var positions: [Int] = []
    let history = History()
    var wokenNames = ""
    /// What the operations of threads, whose steps are not over, have turned out to do.
    var deeds: [Int32: String] = [:]
    /// The functions from which a thread called what it waits in, innermost first.
    var callers: [Int32: [UInt]] = [:]
    /// Where the task goes on whose job begins with the next step.
    var frames: [UInt] = []

    var count: Int { entries.count }

    /// Where a thread was last seen, in words.
    func lastPlace(of thread: Int32) -> String {
        guard
            let site = entries.last(where: {
                $0.thread == thread && $0.site.map { $0.line > 0 } == true
            })?.site
        else {
            return ""
        }
        return ", after \(SourceFile.name(site.file)):\(site.line)"
    }

    func removeAll() {
        entries.removeAll()
        deeds.removeAll()
        callers.removeAll()
        positions.removeAll()
        history.removeAll()
    }

    func step(_ event: Event, object: Int32, other: Int32, site: Site) {
        var entry = Entry(
            thread: event.thread, action: .event(event), object: object, other: other, site: site)
        entry.position = positions.count
        entry.woken = wokenNames
        wokenNames = ""
        entry.frames = frames
        frames = []
        positions.append(entries.count)
        entries.append(entry)
        history.append(event)
    }

    /// The last step has done more than was known.
    func amend(_ event: Event) {
        history.amendLast(event)
        entries[positions[positions.count - 1]].action = .event(event)
    }

    /// Says where the last entry is, when no operation told it.
    func setPlace(_ place: CodePlace?) { entries[entries.count - 1].place = place }

    func note(thread: Int32, _ action: Action, site: Site?) {
        entries.append(Entry(thread: thread, action: action, site: site))
        switch action {
        case .plainRead(let object), .plainWrite(let object):
            entries[entries.count - 1].object = object
        default: break
        }
    }

    func describe(old: String, new: String) {
        guard !entries.isEmpty else { return }
        entries[entries.count - 1].old = old
        entries[entries.count - 1].new = new
    }

    func refine(_ kind: OperationKind) {
        guard !entries.isEmpty else { return }
        entries[entries.count - 1].isWrite = kind == .plainWrite
    }
}
