// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The threads and tasks of an exploration: who there is, who started whom, and what each runs.
///
/// A thread is told by who started it and as which of its children, so that it has the same number
/// in every execution.
@safe
final class ThreadTable {
    private let limit: Int32
    /// Never moves, so that a record can be changed in place while others are added.
    private let records: UnsafeMutablePointer<ThreadRecord>
    private(set) var count: Int32 = 0
    /// The numbers of this execution's threads, in the order of their start.
    let started = Stack<Int32>(capacity: 32)
    var names: [String] = []

    init(limit: Int) {
        self.limit = Int32(limit)
        unsafe records = .allocate(capacity: limit)
    }

    deinit {
        for thread in 0..<count {
            if !self[thread].isTask { self[thread].fiber?.destroy() }
            self[thread].body.destroy()
        }
        unsafe records.deallocate()
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

    /// Lets go of what the threads ran.
    func releaseBodies() {
        for index in 0..<started.count { self[started[index]].body.release() }
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
                if number.isBuffer { names[Int(thread)] = "store buffer" }
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

    private func number(ofNextChild parent: Int32) -> Int32 {
        guard parent >= 0 else { return count > 0 ? 0 : add(parent: -1) }
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

    func add(parent: Int32) -> Int32 {
        guard count < limit else {
            fatalError("an exploration has more than \(limit) threads")
        }
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
        self[buffer].isBuffer = true
        self[buffer].bufferLink = thread
        self[thread].bufferLink = buffer
        names[Int(buffer)] = "store buffer of \(names[Int(thread)])"
        return buffer
    }
}
