// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

/// An operation of a primitive that is one step, and what of it has happened.
struct OpenOperation: BitwiseCopyable {
    var event = Event(thread: -1, kind: .operation)
    var site = Site("", 0)
    /// What the outermost operation is called, and its subject.
    var name: StaticString = ""
    var subject: Int32 = -1
    /// Its subjects, which cover their own parts: how the step touches them is declared.
    var declared = Footprint()
}

// Operations of primitives as steps.
//
// The step begins with the first thing that the operation does to an object, and is committed when
// the operation ends or waits. In between nobody else runs. It touches its subjects as declared;
// what is a part of another subject, that one; and what is no subject's part, the thing itself. So
// does what is done to a part without an operation. What cannot be a part of a step (a wait; a
// choice among waiters) ends it: that is a step as it would be looked at finely, and what follows
// begins another. Splitting a step is always sound.
extension Scheduler {
    /// Whether the running thread is in the midst of such a step.
    var isInStep: Bool { current >= 0 && threads[current].isInOperation }

    var isCoarse: Bool { options.granularity == .coarse && !attention.steps.isFine }

    /// What a footprint keeps room for: what jobs add.
    private var spareRoom: Int { jobs.isUsed ? 3 : 0 }

    // MARK: Declared

    func labelParts(of address: UInt, begins: Bool) {
        guard isCoarse, mode == .exploring || mode == .finishing else { return }
        labelledSubject = begins ? object(at: address) : -1
    }

    func coverObject(at address: UInt, begins: Bool) {
        guard current >= 0, threads[current].operations > 0,
            mode == .exploring || mode == .finishing
        else {
            return
        }
        objects[object(at: address)].subject = begins ? ObjectTable.everySubject : -1
    }

    func beginOperation(_ name: StaticString, _ address: UInt, writes: Bool, _ site: Site) {
        guard mode == .exploring || mode == .finishing else { return }
        let index = Int(current)
        threads[index].declarations += 1
        guard isCoarse else { return }
        let subject = object(at: address)
        threads[index].operations += 1
        if threads[index].operations == 1 {
            openOperations.extend(to: index + 1, with: OpenOperation())
            openOperations[index] = OpenOperation(site: site, name: name, subject: subject)
        }
        // Without room its parts stand for themselves.
        _ = openOperations[index].declared.addIfRoom(subject, writes: writes, leaving: spareRoom)
        if threads[index].isInOperation { touch(subject, writes: writes) }
    }

    func endOperation() {
        guard current >= 0 else { return }
        let index = Int(current)
        if threads[index].declarations > 0 { threads[index].declarations -= 1 }
        guard threads[index].operations > 0 else { return }
        threads[index].operations -= 1
        guard threads[index].operations == 0 else { return }
        suspendOperation(of: current)
        recorder?.deeds[current] = nil
    }

    // MARK: The step

    /// Whether what the running thread is about to do is within an operation; its step has begun
    /// then.
    @inline(__always)
    func joinOperation() -> Bool {
        guard current >= 0, threads[current].operations > 0 else { return false }
        return joinOperationSlow()
    }

    @inline(never)
    private func joinOperationSlow() -> Bool {
        let thread = current
        let index = Int(thread)
        guard mode == .exploring || mode == .finishing, !threads[index].isSpinning else {
            return false
        }
        if threads[index].isInOperation { return true }
        threads[index].kind = .operation
        threads[index].object = openOperations[index].subject
        park(thread)
        guard mode != .draining else { return false }
        threads[index].isInOperation = true
        openOperations[index].event = Event(thread: thread, kind: .operation)
        openOperations[index].event.footprint = openOperations[index].declared
        for place in 0..<Int(openOperations[index].declared.count) {
            touchLifetime(of: openOperations[index].declared.object(place))
        }
        return true
    }

    /// The step touches `object`.
    func touch(_ object: Int32, writes: Bool) {
        touchLifetime(of: object)
        let subject = objects[object].subject
        if subject == ObjectTable.everySubject { return }
        if subject < 0 { return add(object, writes: writes) }
        if !openOperations[Int(current)].declared.contains(subject) { add(subject, writes: writes) }
    }

    private func touchLifetime(of object: Int32) {
        guard objects[object].storage >= 0 else { return }
        add(storages[Int(objects[object].storage)].lifetime, writes: false)
    }

    private func add(_ object: Int32, writes: Bool) {
        if openOperations[Int(current)].event.footprint.addIfRoom(
            object, writes: writes, leaving: spareRoom)
        {
            return
        }
        // It touches more than can be told of one step.
        wanted.steps.isFine = true
    }

    /// Ends the step of a thread that is in the midst of an operation; what it does next is no part
    /// of it.
    func suspendOperation(of thread: Int32) {
        guard thread >= 0, threads[thread].isInOperation else { return }
        let index = Int(thread)
        threads[index].isInOperation = false
        guard mode == .exploring || mode == .finishing else { return }
        threads[index].object = openOperations[index].subject
        commit(openOperations[index].event, site: openOperations[index].site)
        if let recorder {
            let deed = recorder.deeds.removeValue(forKey: thread)
            recorder.describe(old: deed ?? "", new: "\(openOperations[index].name)")
        }
    }

    /// Where the last event of `thread` is, or will be that of the step that it is in the midst of.
    func lastPosition(of thread: Int32) -> Int32 {
        threads[thread].isInOperation
            ? Int32(truncatingIfNeeded: steps) : threads[thread].handsOn
    }

    // MARK: What is done within

    /// An atomic operation within a step.
    func beginWithin(_ access: AtomicAccess, _ address: UInt, _ operand: Bits) -> Directive {
        // Nobody can see that a store is asymmetric: no step lies between it and what follows.
        let kind = StepKind(atomic: access.kind)
        threads[current].announce(kind, object(at: address), access, operand)
        return .perform
    }

    func endWithin(_ old: Bits, _ new: Bits, wrote: Bool) {
        let object = threads[current].object
        touch(object, writes: wrote)
        if wrote { noteWord(object, old, new) }
        if attention.races {
            trackAtomic(
                current, object, threads[current].kind, threads[current].order,
                threads[current].failureOrder, wrote: wrote)
        }
    }

    /// Whether an operation of this kind can be a part of a step.
    static func canBePart(_ kind: OperationKind) -> Bool {
        switch kind {
        case .parkWhile, .wake, .fence, .membarrier, .plainRead,
            .plainWrite:
            true
        default: false
        }
    }

    /// A mutex is locked or unlocked within a step. Nil when it ends the step, and is to be done as
    /// one of its own.
    func mutexWithin(_ kind: OperationKind, _ address: UInt, _ site: Site) -> Bool? {
        let thread = current
        let lock = object(at: address)
        switch kind {
        case .unlock:
            // Taken by a step of its own, it is given back by one.
            guard objects[lock].lock.owner == thread,
                objects[lock].lock.acquired == Int32(truncatingIfNeeded: steps)
            else { break }
            touch(lock, writes: true)
            noteMutex(lock, .unlock, by: thread)
            freeWord(at: address, site)
            publish(lock, by: thread)
            return true
        default:
            let isHeld = objects[lock].lock.isHeld
            guard !isHeld, quiesce_lock_take(address, lockToken) else {
                // Nor does it wait in real time.
                if kind == .lock || !isHeld { break }
                touch(lock, writes: false)
                return false
            }
            heldWords += 1
            touch(lock, writes: true)
            noteMutex(lock, .lock, by: thread)
            acquire(lock, by: thread, .lock)
            return true
        }
        suspendOperation(of: thread)
        return nil
    }

    /// Another operation within a step. Nil when it ends the step, and is to be done as one of its
    /// own.
    func performWithin(_ operation: Operation) -> Bool? {
        let thread = current
        switch operation.kind {
        case .parkWhile:
            let word = object(at: operation.object)
            let value = unsafe UnsafePointer<UInt32>(bitPattern: operation.object)!.pointee
            guard UInt64(value) != operation.operand.low else { break }
            touch(word, writes: false)
            return true
        case .wake:
            let queue = objects.companion(of: object(at: operation.object), 1)
            let waiters = objects[queue].waiters
            guard waiters.choices(.wake) == 0, waiters.timed == 0, operation.operand.low > 0 else {
                break
            }
            wakeOutside(operation, queue)
            touch(queue, writes: true)
            guard waiters.waiting != 0 else { return true }
            let waiter = waiters.waiting.trailingZeroBitCount
            set(queue, WaiterState())
            threads[waiter].isWoken = true
            threads[waiter].enabler = Int32(truncatingIfNeeded: steps)
            return true
        case .fence:
            if attention.races { sync.fence(thread, operation.order) }
            return true
        case .membarrier:
            guard stores.count == 0 else { break }
            if attention.races { sync.fence(thread, .sequentiallyConsistent) }
            return true
        case .plainRead, .plainWrite:
            accessWithin(operation, writes: operation.kind == .plainWrite)
            return true
        default: break
        }
        suspendOperation(of: thread)
        return nil
    }
}
