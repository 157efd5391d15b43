// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The threads and tasks of an exploration: which there are, which started which, and what each
/// runs.
///
/// A thread is told by its parent and by its place among the parent's children, so that it has the
/// same number in every execution. A thread or task that has started many tasks starts the next
/// ones under the numbers of those that it has awaited: the numbers must not grow with every task
/// of a loop.
@safe
final class ThreadTable {
    private let limit: Int32
    private let kept: Int32
    let capacity: Int32
    private var buffers: Int32 = 0
    /// The most threads that one execution has started to end itself: no program has those numbers.
    private var enders: Int32 = 0
    /// Never moves, so that a record can be changed in place while others are added.
    private let records: UnsafeMutablePointer<ThreadRecord>
    private(set) var count: Int32 = 0
    /// The numbers of this execution's threads, in the order of their start.
    let started = Stack<Int32>(capacity: 32)
    var names: [String] = []

    /// A table for executions of at most `limit` threads. A thread or task that has started `kept`
    /// tasks starts further ones in the place of those that it has awaited.
    init(limit: Int, keeps kept: Int) {
        self.limit = Int32(clamping: min(max(limit, 1), Self.maximum))
        self.kept = Int32(clamping: kept)
        // Each can have a store buffer, and one row stands for time that passes.
        capacity = Self.rows(self.limit) * 2 + 1
        unsafe records = .allocate(capacity: Int(capacity))
    }

    // Schedules have fifteen bits for a thread.
    private static let maximum = 1 << 14

    /// The numbers that there are for threads and tasks: of several executions, which need not have
    /// the same ones; and some for what ends an execution.
    private static func rows(_ limit: Int32) -> Int32 { 3 * limit + 32 }

    /// Whether an execution can have no further thread.
    @inline(__always)
    var isFull: Bool { started.count >= Int(limit) || count &- buffers >= limit &* 2 &+ enders }

    /// Whether a thread can be started that ends an execution.
    var hasReserve: Bool { count - buffers < Self.rows(limit) }

    deinit {
        destroyFibers()
        for thread in 0..<count { self[thread].body.destroy() }
        unsafe records.deallocate()
    }

    func destroyFibers() {
        for thread in 0..<count {
            if !self[thread].isTask { self[thread].fiber?.destroy() }
            self[thread].fiber = nil
        }
    }

    subscript(thread: Int32) -> ThreadRecord {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(record(thread)) }
        @inline(__always)
        unsafeMutableAddress { unsafe record(thread) }
    }

    subscript(index: Int) -> ThreadRecord {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(record(Int32(truncatingIfNeeded: index))) }
        @inline(__always)
        unsafeMutableAddress { unsafe record(Int32(truncatingIfNeeded: index)) }
    }

    @inline(__always)
    private func record(_ thread: Int32) -> UnsafeMutablePointer<ThreadRecord> {
        // One comparison: a negative number is a large one.
        precondition(UInt32(bitPattern: thread) < UInt32(bitPattern: count))
        return unsafe records + Int(thread)
    }

    /// Forgets what the threads did in the last execution.
    func beginExecution() {
        for thread in 0..<count { self[thread].restart() }
        started.removeAll()
    }

    /// Says how many threads this execution has started to end itself.
    func noteEnders(_ number: Int32) { enders = max(enders, min(number, limit)) }

    /// Whether a thread of this execution never comes to its end.
    var hasDead: Bool {
        for index in 0..<started.count where self[started[index]].state == .dead { return true }
        return false
    }

    /// Lets go of what the threads ran, but for one that runs.
    func releaseBodies(besides thread: Int32) {
        for index in 0..<started.count where started[index] != thread {
            self[started[index]].body.release()
        }
    }

    // MARK: Numbers

    /// A thread's place in the tree of threads, for an exploration that goes on in another process.
    struct Number: Codable {
        var parent: Int32
        var firstChild: Int32
        var nextSibling: Int32
        var bufferLink: Int32
        var isBuffer: Bool
    }

    var numbers: [Number] {
        get {
            (0..<count).map {
                Number(
                    parent: self[$0].parent, firstChild: self[$0].firstChild,
                    nextSibling: self[$0].nextSibling, bufferLink: self[$0].bufferLink,
                    isBuffer: self[$0].isBuffer)
            }
        }
        set {
            for number in newValue {
                let thread = add(parent: number.parent)
                self[thread].firstChild = number.firstChild
                self[thread].nextSibling = number.nextSibling
                self[thread].bufferLink = number.bufferLink
                self[thread].isBuffer = number.isBuffer
                if number.isBuffer {
                    buffers += 1
                    names[Int(thread)] = "store buffer"
                }
            }
        }
    }

    /// Starts the next child of `parent`, or with -1 the first thread, which has done nothing yet.
    func start(by parent: Int32) -> Int32 {
        let thread = number(ofNextChild: parent)
        self[thread].spawnIndex = Int32(truncatingIfNeeded: started.count)
        started.append(thread)
        return thread
    }

    /// The same for a task.
    ///
    /// - Parameter replaces: whether one that has ended and been awaited may make room. Every
    ///   execution in which this child starts must agree on which those are.
    func startTask(by parent: Int32, replaces: Bool) -> Int32 {
        guard replaces, let ended = childToReplace(of: parent) else { return start(by: parent) }
        self[ended].startAgain()
        return ended
    }

    private func number(ofNextChild parent: Int32) -> Int32 {
        guard parent >= 0 else { return count > 0 ? 0 : add(parent: -1) }
        self[parent].children += 1
        let last = self[parent].lastStarted
        let known = last < 0 ? self[parent].firstChild : self[last].nextSibling
        if known >= 0 {
            self[parent].lastStarted = known
            return known
        }
        let thread = add(parent: parent)
        if last < 0 {
            self[parent].firstChild = thread
        } else {
            self[last].nextSibling = thread
        }
        self[parent].lastStarted = thread
        return thread
    }

    /// Whether the next tasks that `parent` starts may take the numbers of others.
    func hasManyChildren(_ parent: Int32) -> Bool { self[parent].children >= kept }

    /// The task whose number the next task that `parent` starts gets, if that is not a new one.
    private func childToReplace(of parent: Int32) -> Int32? {
        guard parent >= 0, hasManyChildren(parent) else { return nil }
        var child = self[parent].firstChild
        while child >= 0 {
            if self[child].mayMakeRoom, self[child].state == .finished { return child }
            if child == self[parent].lastStarted { return nil }
            child = self[child].nextSibling
        }
        return nil
    }

    func add(parent: Int32) -> Int32 {
        // No program gets here with a full table: a thread or task starts only where `isFull` or
        // `hasReserve` says that there is room, and each has one buffer at most.
        precondition(count < capacity)
        unsafe (records + Int(count)).initialize(to: ThreadRecord(parent: parent))
        names.append("")
        count += 1
        return count - 1
    }

    /// The thread that stands for the store buffer of `thread`.
    func buffer(of thread: Int32) -> Int32 {
        let known = self[thread].bufferLink
        if known >= 0 { return known }
        let buffer = add(parent: thread)
        buffers += 1
        self[buffer].isBuffer = true
        self[buffer].bufferLink = thread
        self[thread].bufferLink = buffer
        names[Int(buffer)] = "store buffer of \(names[Int(thread)])"
        return buffer
    }
}
