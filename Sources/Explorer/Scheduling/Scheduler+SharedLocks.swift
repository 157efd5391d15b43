// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

/// What an exploration has met of locks that it shares with threads that it does not run.
final class SharedLocks {
    /// Where the exploration first met another thread at a lock.
    var met: String?
    /// Whether another thread has decided how an execution goes on, so that no schedule repeats it.
    var hasDecided = false
    /// Whether the execution has waited for another thread for too long.
    var isGivenUp = false
    /// Whether the exploration has waited for another thread to wake one of its own, for too long.
    var hasWaitedInVain = false
    /// How many threads of the exploration wait for a lock that another thread holds.
    var keptOut = 0
    /// Conditions and wait points on which threads of this execution have waited.
    let waits = Stack<SharedWait>(capacity: 8)
    /// Those of the execution before.
    private let earlierWaits = Stack<SharedWait>(capacity: 8)
    /// Whether a thread has waited on something that is older than the execution.
    private var hasOlderWaits = false

    func beginExecution() {
        hasDecided = false
        isGivenUp = false
        keptOut = 0
        earlierWaits.replace(with: waits)
        waits.removeAll()
    }

    func add(_ wait: SharedWait) {
        waits.append(wait)
        if wait.isOlder { hasOlderWaits = true }
    }

    /// Whether another thread was met, or threads have waited on something that outlives
    /// executions, so that another thread may have changed what it is about.
    var mayBeShared: Bool {
        met != nil || hasOlderWaits || outlives(waits) || outlives(earlierWaits)
    }

    private func outlives(_ waits: borrowing Stack<SharedWait>) -> Bool {
        for index in 0..<waits.count
        where SharedWaiters(at: waits[index].address).isMarked {
            return true
        }
        return false
    }

    /// An execution went on differently from the one that it repeats. That may be the doing of
    /// threads outside, where it shares something with them.
    func noteDivergence() { if mayBeShared { hasDecided = true } }
}

/// A condition or a wait point, as far as threads outside may use it too.
struct SharedWait: BitwiseCopyable {
    /// The object that holds the waiters, and where the word is.
    var object: Int32
    var address: UInt
    /// How many wake-ups by threads outside are known.
    var wakes: UInt32
    /// Whether it existed before this execution, so that others may know it.
    var isOlder: Bool
}

// Locks that the exploration shares with threads that it does not run: those of another
// exploration, or of an ordinary test.
//
// The states of objects decide which thread of the exploration holds a lock. To every other thread
// the exploration is one holder: it takes the lock's own word when one of its threads enters, and
// gives it back when the last one has left. A search that finds the word taken waits for it in real
// time, and goes on as if it had found it free. Where that cannot be, because the other thread may
// wait for the exploration, or because a try must answer, the other thread decides how the
// execution goes on; then the program is not searched any more but run a number of times, and a
// thread that is kept out lets the others run.
extension Scheduler {
    /// How long a thread sleeps before it looks again, in nanoseconds.
    private static let slice: UInt64 = 10_000_000

    /// `thread`, which is to hold a mutex, takes its word. False when the execution ended while the
    /// thread waited for the word.
    @inline(__always)
    func takeWord(_ lock: Int32, _ address: UInt, _ thread: Int32, _ site: Site) -> Bool {
        if quiesce_lock_take(address, lockToken) {
            heldWords &+= 1
            return true
        }
        return awaitWord(.mutex, lock, thread, site)
    }

    /// A thread has let go of a mutex.
    @inline(__always)
    func freeWord(at address: UInt, _ site: Site) {
        if quiesce_lock_free(address, lockToken) {
            heldWords &-= 1
        } else {
            freeAwaitedWord(.mutex, address, site)
        }
    }

    @inline(never)
    func freeAwaitedWord(_ mode: SharedLock.Mode, _ address: UInt, _ site: Site) {
        switch SharedLock(mode, at: address, as: lockToken).giveBack() {
        case .notHeld: return
        case .free: break
        case .woken: meet(at: site)
        }
        heldWords &-= 1
    }

    /// The last thread inside of `lock` has left it.
    func freeWord(_ mode: SharedLock.Mode, of lock: Int32, _ site: Site) {
        guard !objects[lock].isWordless else { return }
        freeAwaitedWord(mode, objects[lock].address, site)
    }

    /// `thread` has trapped. Of a lock with readers only the exploration knows that it holds it,
    /// and the lock may not outlive the thread: its word is given back now.
    func leaveWords(of thread: Int32) {
        guard heldWords > 0 else { return }
        for lock in ObjectTable.last + 1..<objects.limit
        where objects.isLive(lock) && objects[lock].isReaderWriterLock && !objects[lock].isWordless
        {
            guard
                objects[lock].lock.owner == thread || readSections.isInside(lock, thread)
            else { continue }
            freeAwaitedWord(modeOfHold(lock), objects[lock].address, Site("", 0))
            objects[lock].isWordless = true
        }
    }

    /// Takes the word of a lock, unless the exploration has it or needs none. False when a thread
    /// outside holds it.
    func tryWord(_ mode: SharedLock.Mode, _ lock: Int32, hasSlept: Bool = false) -> Bool {
        // A thread that was kept out may find that another one has come before it.
        guard !isHeld(lock) else { return true }
        let word = SharedLock(mode, at: objects[lock].address, as: lockToken)
        guard word.take(hasSlept: hasSlept) else { return false }
        heldWords &+= 1
        objects[lock].isWordless = false
        return true
    }

    private func meet(at site: Site) {
        guard sharedLocks.met == nil else { return }
        sharedLocks.met =
            site.line > 0 ? "\(SourceFile.name(site.file)):\(site.line)" : "an unknown place"
    }

    /// A thread outside decides how this execution goes on, against what was expected.
    func letOtherDecide(_ expected: @autoclosure () -> String, _ site: Site) {
        meet(at: site)
        sharedLocks.hasDecided = true
        guard isSearching, mode == .exploring else { return }
        diverge(
            Divergence(
                step: steps + 1, expected: expected(), found: "what a thread outside has done"))
    }

    // MARK: Waiting

    /// Takes the word of `lock` once no thread outside holds it. False when the execution ended
    /// meanwhile.
    @inline(never)
    func awaitWord(_ mode: SharedLock.Mode, _ lock: Int32, _ thread: Int32, _ site: Site) -> Bool {
        if tryWord(mode, lock) { return true }
        meet(at: site)
        if isSearching, self.mode == .exploring {
            switch waitInPlace(mode, lock) {
            case .taken: return true
            case .tooLong:
                giveUp(thread, lock, mode)
                return false
            case .entangled: letOtherDecide("that \(name(of: lock)) is free", site)
            }
        }
        while !tryWord(mode, lock, hasSlept: true) {
            threads[thread].state = .keptOut
            sharedLocks.keptOut += 1
            // This turn was none.
            if schedule.count > steps || options.time == .discrete {
                schedule.truncate(to: schedule.count - 1)
            }
            waitForTurn(thread)
            if self.mode == .draining { return false }
        }
        return true
    }

    private enum Wait { case taken, tooLong, entangled }

    /// Waits in real time, and no thread of the exploration runs meanwhile.
    private func waitInPlace(_ mode: SharedLock.Mode, _ lock: Int32) -> Wait {
        let word = SharedLock(mode, at: objects[lock].address, as: lockToken)
        let start = quiesce_monotonic_nanoseconds()
        word.announce()
        while !word.takeAnnounced() {
            let isEntangled = awaitedLock() >= 0
            if isEntangled || isTooLong(since: start) {
                word.withdraw()
                return isEntangled ? .entangled : .tooLong
            }
            heartbeat.tick()
            word.sleep(nanoseconds: Self.slice)
        }
        heldWords &+= 1
        return .taken
    }

    private func isTooLong(since start: UInt64) -> Bool {
        if sharedLocks.isGivenUp { return true }
        return patience > 0 && Double(quiesce_monotonic_nanoseconds() - start) / 1e9 >= patience
    }

    /// A lock that a thread of the exploration holds and a thread outside waits for; -1 for none.
    private func awaitedLock() -> Int32 {
        guard heldWords > 0 else { return -1 }
        for lock in ObjectTable.last + 1..<objects.limit
        where objects.isLive(lock) && isHeld(lock) {
            let word = SharedLock(modeOfHold(lock), at: objects[lock].address, as: lockToken)
            if word.isAwaited { return lock }
        }
        return -1
    }

    func isHeld(_ lock: Int32) -> Bool {
        objects[lock].lock.isHeld || objects[lock].lock.readers > 0
    }

    /// How the exploration holds the word of a lock that one of its threads holds.
    private func modeOfHold(_ lock: Int32) -> SharedLock.Mode {
        guard objects[lock].isReaderWriterLock else { return .mutex }
        return objects[lock].lock.owner >= 0 ? .writer : .reader
    }

    /// The lock that `thread`, which is kept out, waits for, and how it would hold it.
    private func wanted(by thread: Int32) -> (mode: SharedLock.Mode, lock: Int32) {
        switch threads[thread].kind {
        case .reacquire: (.mutex, threads[thread].other)
        case .readLock: (.reader, threads[thread].object)
        case .writeRequest, .writeLock: (.writer, threads[thread].object)
        default: (.mutex, threads[thread].object)
        }
    }

    /// Between two steps: threads that are kept out of locks try again, and what threads outside
    /// have woken goes on.
    @inline(never)
    func lookOutside() {
        if sharedLocks.keptOut > 0 { _ = letIn() }
        if !isSearching { _ = admitWakeUps() }
    }

    /// Lets the threads try again whose locks no thread outside holds any more. Says whether there
    /// were such.
    private func letIn() -> Bool {
        var isAny = false
        for thread in 0..<threads.count where threads[thread].state == .keptOut {
            let (mode, lock) = wanted(by: thread)
            guard
                isHeld(lock)
                    || SharedLock(mode, at: objects[lock].address, as: lockToken).isFree
            else { continue }
            threads[thread].state = .parked
            sharedLocks.keptOut -= 1
            isAny = true
        }
        return isAny
    }

    /// The execution is over for those that are kept out.
    func letAllIn() {
        guard sharedLocks.keptOut > 0 else { return }
        for thread in 0..<threads.count where threads[thread].state == .keptOut {
            threads[thread].state = .parked
        }
        sharedLocks.keptOut = 0
    }

    /// Nobody can go on. Waits in real time until a thread outside lets somebody go on, and returns
    /// true; false when nothing is known of such a thread, or that takes too long.
    func awaitOutside() -> Bool {
        guard sharedLocks.keptOut > 0 || !sharedLocks.waits.isEmpty,
            mode == .exploring || mode == .finishing
        else {
            return false
        }
        if admitWakeUps() { return true }
        let kept = (0..<threads.count).filter { threads[$0].state == .keptOut }
        guard !kept.isEmpty || mayBeWokenOutside() else { return false }
        let start = quiesce_monotonic_nanoseconds()
        while true {
            if letIn() || admitWakeUps() { return true }
            if jobs.isUsed, jobs.inbox.hasMail {
                admitArrivals()
                return true
            }
            if isTooLong(since: start) { break }
            heartbeat.tick()
            if let thread = kept.first {
                let (mode, lock) = wanted(by: thread)
                SharedLock(mode, at: objects[lock].address, as: lockToken).sleep(
                    nanoseconds: Self.slice)
            } else {
                quiesce_sleep_until(quiesce_monotonic_nanoseconds() + Self.slice / 10)
            }
        }
        if let thread = kept.first {
            let (mode, lock) = wanted(by: thread)
            giveUp(thread, lock, mode)
        } else {
            sharedLocks.hasWaitedInVain = true
        }
        return false
    }

    // MARK: Conditions and wait points

    /// A thread is about to wait: from here on wakers outside leave a trace.
    func markWait(on object: Int32, at address: UInt) {
        guard objects[object].sharedWait < 0 else { return }
        let waiters = SharedWaiters(at: address)
        let isOlder = waiters.mark()
        objects[object].sharedWait = Int32(sharedLocks.waits.count)
        sharedLocks.add(
            SharedWait(object: object, address: address, wakes: waiters.wakes, isOlder: isOlder))
    }

    /// A thread wakes the waiters of a condition or a wait point: those outside too. `object`
    /// holds the exploration's own, -1 where it is not known.
    func wakeOutside(_ operation: Operation, _ object: Int32) {
        let count: Int
        switch operation.kind {
        case .signal: count = 1
        case .broadcast: count = .max
        case .wake: count = Int(clamping: operation.operand.low)
        default: return
        }
        guard count > 0 else { return }
        let wait = object >= 0 ? Int(objects[object].sharedWait) : -1
        let (slept, told) = SharedWaiters(at: operation.object).wake(
            count, isCondition: operation.kind != .wake,
            tells: wait < 0 || sharedLocks.waits[wait].isOlder)
        if told, wait >= 0 { sharedLocks.waits[wait].wakes &+= SharedWaiters.oneWake }
        if slept { meet(at: operation.site) }
    }

    /// Wakes the threads that wait where a thread outside has woken somebody. Says whether there
    /// were such.
    private func admitWakeUps() -> Bool {
        var isAny = false
        for index in 0..<sharedLocks.waits.count {
            let (object, address) = (
                sharedLocks.waits[index].object, sharedLocks.waits[index].address
            )
            var waiting = objects[object].waiters.waiting
            guard waiting != 0 else { continue }
            let wakes = SharedWaiters(at: address).wakes
            guard wakes != sharedLocks.waits[index].wakes else { continue }
            sharedLocks.waits[index].wakes = wakes
            isAny = true
            letOtherDecide("that nobody wakes \(names(ofThreads: waiting))", Site("", 0))
            set(object, WaiterState())
            while waiting != 0 {
                let waiter = waiting.trailingZeroBitCount
                waiting &= waiting - 1
                threads[waiter].isWoken = true
                disarm(waiter)
                if mode == .exploring {
                    recorder?.note(
                        thread: Int32(waiter), .note("woken from outside"),
                        site: threads[waiter].site)
                }
            }
        }
        return isAny
    }

    /// Whether a thread waits where one outside may wake it.
    private func mayBeWokenOutside() -> Bool {
        // Without a watchdog the wait would have no end.
        guard mode == .exploring, verdict == nil, !sharedLocks.hasWaitedInVain, patience > 0
        else { return false }
        for index in 0..<sharedLocks.waits.count {
            var waiting = objects[sharedLocks.waits[index].object].waiters.waiting
            while waiting != 0, threads[waiting.trailingZeroBitCount].mayWaitForEver {
                waiting &= waiting - 1
            }
            guard waiting != 0 else { continue }
            if sharedLocks.waits[index].isOlder || sharedLocks.met != nil { return true }
            // If it outlives the execution, the mark will tell.
            wanted.waits = true
        }
        return false
    }

    /// `thread` has waited for `lock` for too long: the execution ends here.
    private func giveUp(_ thread: Int32, _ lock: Int32, _ mode: SharedLock.Mode) {
        sharedLocks.isGivenUp = true
        let outsider = SharedLock(mode, at: objects[lock].address, as: lockToken).holder
        recorder?.note(
            thread: thread, .blocked("lock \(name(of: lock))", on: "outside"),
            site: threads[thread].site)
        let awaited = awaitedLock()
        let cause =
            awaited < 0
            ? ""
            : "; a thread outside waits for \(name(of: awaited)), held by \(holder(of: awaited))"
        verdict =
            verdict
            ?? Verdict(
                .blockedOutside,
                "\(name(ofThread: thread)) waits for \(name(of: lock)), which \(outsider) holds and has not given back for too long\(cause)",
                steps: recorder.map { [$0.count - 1] } ?? [], objects: [lock])
        // It has happened, whatever the schedule said.
        divergence = nil
        mustStop = true
        guard self.mode != .afterwards else { return }
        outcome = .cut
        self.mode = .draining
    }

    private func holder(of lock: Int32) -> String {
        let owner = objects[lock].lock.owner
        return name(ofThread: owner >= 0 ? owner : readSections.reader(of: lock, except: -1))
    }

    // MARK: Winding up

    /// A lock is taken or given back while an execution is wound up: the exploration's own threads
    /// all enter, and others are still kept out. (A writer that enters beside readers keeps out
    /// writers alone.) False when a try finds a thread outside inside.
    func windUpLock(
        _ kind: OperationKind, _ mode: SharedLock.Mode, _ address: UInt, _ site: Site
    ) -> Bool {
        let lock = object(at: address)
        objects[lock].isReaderWriterLock = mode != .mutex
        switch kind {
        case .unlock, .readUnlock, .writeUnlock:
            // A thread that entered beside a holder is counted as a reader.
            let hold = modeOfHold(lock)
            if objects[lock].lock.readers > 0 {
                objects[lock].lock.readers -= 1
            } else if objects[lock].lock.isHeld {
                objects[lock].lock.free()
            } else {
                return true
            }
            if !isHeld(lock) { freeWord(hold, of: lock, site) }
        default:
            let isTry = kind == .tryLock || kind == .tryReadLock || kind == .tryWriteLock
            guard isHeld(lock) || windUpWord(mode, lock, isTry: isTry) else { return false }
            // Another thread may have come before this one.
            if isHeld(lock) || mode == .reader {
                objects[lock].lock.readers += 1
            } else {
                objects[lock].lock.hold(current, -1)
            }
        }
        return true
    }

    /// Takes a word while an execution is wound up. A thread that never gets it is given up. False
    /// when a try finds it taken.
    func windUpWord(_ mode: SharedLock.Mode, _ lock: Int32, isTry: Bool) -> Bool {
        if tryWord(mode, lock) { return true }
        if isTry { return false }
        let thread = current
        let start = quiesce_monotonic_nanoseconds()
        repeat {
            if isTooLong(since: start) {
                if self.mode == .afterwards {
                    threads[thread].object = lock
                    giveUp(thread, lock, mode)
                }
                threads[thread].state = .dead
                abandoned += 1
                leave(thread)
            }
            heartbeat.tick()
            SharedLock(mode, at: objects[lock].address, as: lockToken).sleep(
                nanoseconds: Self.slice)
            if self.mode == .draining {
                // It may be held by a thread that waits for one of these.
                sharedLocks.keptOut += 1
                leave(thread)
            }
        } while !tryWord(mode, lock, hasSlept: true)
        return true
    }

    /// Every word that the execution has taken is free again.
    func freeWords() {
        guard heldWords > 0 else { return }
        for lock in ObjectTable.last + 1..<objects.limit
        where objects.isLive(lock) && isHeld(lock) && !objects[lock].isWordless {
            let word = SharedLock(
                modeOfHold(lock), at: objects[lock].address, as: lockToken)
            // The lock may be gone, destroyed while it was held.
            if word.isThere { _ = word.giveBack() }
            objects[lock].isWordless = true
        }
        heldWords = 0
    }
}

extension SharedLock.Mode {
    /// How an operation of a reader-writer lock holds it; nil for any other operation.
    init?(_ kind: OperationKind) {
        switch kind {
        case .readLock, .tryReadLock, .readUnlock: self = .reader
        case .writeLock, .tryWriteLock, .writeUnlock: self = .writer
        default: return nil
        }
    }
}
