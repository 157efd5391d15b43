// SPDX-License-Identifier: Apache-2.0

import CPeers
import Glibc
import Substrate
import Synchronization

/// One operation to be measured: ours, or that of a peer.
public struct Case: Sendable {
    /// Who else runs meanwhile.
    public enum Company: Sendable {
        /// The process has no other thread.
        case alone
        /// There is another thread, and it sleeps.
        case asleep
        /// Another thread computes.
        case busy
        /// Another thread does the same to the same object.
        case same
    }

    /// What is called with a number of operations, makes what they need, and returns what does
    /// them.
    ///
    /// What is made is not measured.
    public enum Work: Sendable {
        case blocking(@Sendable (Int) -> @Sendable (Int) -> Void)
        case suspending(@Sendable (Int) -> @Sendable (Int) async -> Void)
    }

    public let name: String
    /// How many operations make a sample in which neither the clock nor a few interrupts tell. A
    /// multiple of 4.
    public let count: Int
    public let company: Company
    public let work: Work

    init(_ name: String, count: Int = 20_000, company: Company = .alone, _ work: Work) {
        self.name = name
        self.count = count
        self.company = company
        self.work = work
    }

    public func with(_ company: Company) -> Case {
        let suffix =
            switch company {
            case .alone: ""
            case .asleep: ", another thread asleep"
            case .busy: ", another thread busy"
            case .same: ", 2 threads"
            }
        // Two threads start and end apart: what that takes must not tell.
        return Case(
            name + suffix, count: company == .same ? count * 10 : count, company: company, work)
    }

    public static let all =
        References.all + Locks.all + Gates.all + Scopes.all + Devices.all + Events.all
        + WorkQueues.all

    /// Does `count` operations, with a thread beside if there is one. Calls `began` and `ended`
    /// around them.
    ///
    /// For blocking work. Where both threads do the same, each does `count`, and `ended` is called
    /// when both have.
    ///
    /// - Returns: whether the system took no processor away meanwhile. If it did, neither the time
    ///   nor the company is right.
    @discardableResult
    public func run(_ count: Int, began: () -> Void, ended: () -> Void) -> Bool {
        guard case .blocking(let prepare) = work else { preconditionFailure("\(name) suspends") }
        let operation = prepare(count)
        guard company == .alone else { return run(operation, count, began, ended) }
        let preemptions = preemptions()
        began()
        operation(count)
        ended()
        return Cases.preemptions() == preemptions
    }

    private func run(
        _ operation: @escaping @Sendable (Int) -> Void, _ count: Int, _ began: () -> Void,
        _ ended: () -> Void
    ) -> Bool {
        let meeting = Meeting()
        let company = company
        // The measured thread is one of the two, so that two processors are enough.
        guard
            let other = try? WorldThread.spawn(
                name: "other",
                {
                    // A thread's first operation may make what all its others use.
                    if company == .same { operation(4) }
                    meeting.isReady.store(true, ordering: .releasing)
                    if company != .asleep {
                        while !meeting.isCalled.load(ordering: .acquiring) {}
                        meeting.isThere.store(true, ordering: .releasing)
                    }
                    switch company {
                    case .alone: break
                    case .asleep:
                        while !meeting.isOver.load(ordering: .acquiring) {
                            meeting.bed.wait(while: 0)
                        }
                    case .busy: while !meeting.isOver.load(ordering: .relaxed) {}
                    case .same:
                        while !meeting.isGoing.load(ordering: .acquiring) {}
                        operation(count)
                        meeting.isDone.store(true, ordering: .releasing)
                    }
                })
        else { fatalError("no thread to be had") }
        spin { !meeting.isReady.load(ordering: .acquiring) }
        // It is ready a moment before it sleeps.
        if company == .asleep { WorldClock.sleep(for: .microseconds(200)) }
        let preemptions = preemptions()
        // Whoever answers is running now, and goes on running unless it is preempted.
        meeting.isCalled.store(true, ordering: .releasing)
        if company != .asleep { while !meeting.isThere.load(ordering: .acquiring) {} }
        began()
        meeting.isGoing.store(true, ordering: .releasing)
        operation(count)
        if company == .same { while !meeting.isDone.load(ordering: .acquiring) {} }
        ended()
        let isUndisturbed = Cases.preemptions() == preemptions
        meeting.isOver.store(true, ordering: .releasing)
        meeting.bed.word.store(1, ordering: .releasing)
        meeting.bed.wake()
        other.join()
        return isUndisturbed
    }
}

/// How often the system took a processor away from a thread of this process.
private func preemptions() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_nivcsw
}

/// Where the two threads of a case meet.
private final class Meeting: Sendable {
    let isReady = Synchronization.Atomic(false)
    let isCalled = Synchronization.Atomic(false)
    let isThere = Synchronization.Atomic(false)
    let isGoing = Synchronization.Atomic(false)
    let isDone = Synchronization.Atomic(false)
    let isOver = Synchronization.Atomic(false)
    let bed = WaitPoint()
}

/// The time, for what measures.
public func nanoseconds() -> UInt64 { WorldClock.now().nanoseconds }

/// Calls `body` so often, four times to a turn of the loop, so that little of a nanosecond is the
/// loop's.
@inline(__always)
func times(_ count: Int, _ body: () -> Void) {
    var rest = count / 4
    while rest > 0 {
        body()
        body()
        body()
        body()
        rest &-= 1
    }
}
