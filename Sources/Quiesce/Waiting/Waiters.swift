// SPDX-License-Identifier: Apache-2.0

public import Substrate

/// The threads and tasks that wait for a condition, in one line.
///
/// A waiter joins the line before it looks at its condition, and a waker makes the condition true
/// before it looks at the line: so one of the two sees the other, and no wake-up is lost. Both
/// looks are sequentially consistent.
///
/// In a forked child nobody waits at first: the line is empty, and as closed as it was.
@usableFromInline
struct Waiters: ~Copyable, Sendable {
    let line = Mutex(Line())
    /// How many are in the line: a waker that finds none takes no lock.
    @usableFromInline let count = Atomic<Int>(0)
    private let whole = Subject()

    struct Line {
        var waiters = LinkedList<Waiter>()
        var isClosed = false
        var generation = World.generation
    }

    /// Runs `body` with the line.
    private func withLine<Result>(_ body: (inout Line) -> sending Result) -> Result {
        ForkSection.run {
            line.withLock { line in
                if line.generation != World.generation { startAfresh(&line) }
                return body(&line)
            }
        }
    }

    /// Forgets, in a forked child, the waiters of its parent.
    private func startAfresh(_ line: inout Line) {
        // They are never touched again, not even to be destroyed: a task of the parent must not go
        // on here.
        if let first = line.waiters.first { unsafe _ = Unmanaged.passRetained(first) }
        line.waiters = LinkedList()
        line.generation = World.generation
        count.store(0, ordering: .sequentiallyConsistent)
    }

    func label(_ name: @autoclosure () -> String) {
        whole.label(name() + ".line") { line.label(name() + ".line") }
        count.label(name() + ".count")
    }

    /// How many are in the line.
    var waitingCount: Int { count.load(ordering: .sequentiallyConsistent) }

    // MARK: Waking

    /// Wakes the waiters that have waited longest, at most `limit`.
    ///
    /// What makes their conditions true was done before, by a sequentially consistent update or
    /// under a lock of theirs.
    @inlinable
    @inline(__always)
    func wake(_ limit: Int = .max) {
        guard count.load(ordering: .sequentiallyConsistent) > 0 else { return }
        wakeInLine(limit)
    }

    @usableFromInline
    @inline(never)
    func wakeInLine(_ limit: Int) {
        rouse(whole.write("dismiss from") { withLine { dismiss(&$0, limit, .woken) } })
    }

    /// Ends every wait, those to come as well.
    func close() {
        let dismissed = whole.write("close") {
            withLine { line in
                line.isClosed = true
                return dismiss(&line, .max, .closed)
            }
        }
        rouse(dismissed)
    }

    /// Takes the first out of the line. Their ending is decided under the lock, so that a waiter
    /// that leaves the line knows it.
    private func dismiss(_ line: inout Line, _ limit: Int, _ ending: Waiter.Ending) -> [Waiter
        .Roused]
    {
        var result: [Waiter.Roused] = []
        while result.count < limit, let waiter = line.waiters.popFirst() {
            count.wrappingSubtract(1, ordering: .relaxed)
            let decision = waiter.decide(ending)
            // One whose deadline passed meanwhile has not taken the wake-up.
            if decision != .late {
                result.append(Waiter.Roused(waiter: waiter, decision: decision))
            }
        }
        return result
    }

    private func rouse(_ roused: [Waiter.Roused]) { roused.forEach { $0.rouse() } }

    // MARK: Waiting

    /// Waits until `isOver` is true. It is called again and again, by this thread, with no lock
    /// held.
    ///
    /// - Parameter looksFirst: whether it is asked once before the waiter joins the line, which
    ///   costs more than that.
    func wait(
        for waitClass: WaitClass, _ name: @autoclosure () -> String,
        until deadline: WorldClock.Instant?, looksFirst: Bool = false, _ isOver: () -> Bool
    ) -> Waiter.Ending? {
        waitClass.waiting(name()) {
            if looksFirst, isOver() { return nil }
            while true {
                let waiter = Waiter()
                guard join(waiter) else { return isOver() ? nil : .closed }
                if isOver() {
                    leave(waiter)
                    return nil
                }
                if waiter.hasStayedBehind { continue }
                let ending = waiter.park(until: deadline)
                if let result = settle(waiter, ending, isOver) { return result.ending }
            }
        }
    }

    /// Waits until `isOver` is true. It is called again and again, by this task, with no lock held.
    func wait(
        for waitClass: WaitClass, _ name: @autoclosure () -> String,
        until deadline: WorldClock.Instant?, looksFirst: Bool = false, _ isOver: () -> Bool
    ) async -> Waiter.Ending? {
        await waitClass.waiting(name()) {
            if looksFirst, isOver() { return nil }
            while true {
                let waiter = Waiter()
                guard join(waiter) else { return isOver() ? nil : .closed }
                if isOver() {
                    leave(waiter)
                    return nil
                }
                if waiter.hasStayedBehind { continue }
                let ending = await waiter.suspend(until: deadline)
                if let result = settle(waiter, ending, isOver) { return result.ending }
            }
        }
    }

    private struct Settled {
        let ending: Waiter.Ending?
    }

    /// What a wait that ended comes to; nil when it has to be taken up again.
    private func settle(_ waiter: Waiter, _ ending: Waiter.Ending, _ isOver: () -> Bool) -> Settled?
    {
        if ending == .woken { return isOver() ? Settled(ending: nil) : nil }
        leave(waiter)
        return Settled(ending: isOver() ? nil : ending)
    }

    private func join(_ waiter: Waiter) -> Bool {
        whole.write("join") {
            withLine { line in
                guard !line.isClosed else { return false }
                line.waiters.append(waiter)
                count.wrappingAdd(1, ordering: .sequentiallyConsistent)
                return true
            }
        }
    }

    /// Takes a waiter that needs no wake-up out of the line. A wake-up that it was given goes to
    /// the next.
    private func leave(_ waiter: Waiter) {
        let wasWoken = whole.write("leave") {
            withLine { line in
                guard waiter.isInLine else { return waiter.ending == .woken }
                if waiter.hasStayedBehind { return false }
                line.waiters.remove(waiter)
                count.wrappingSubtract(1, ordering: .relaxed)
                return false
            }
        }
        if wasWoken { wakeInLine(1) }
    }
}
