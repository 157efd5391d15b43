// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Glibc
import Substrate
import TestSupport
import Testing

private struct Refused: Error, Equatable {}

@Suite struct PassiveListenerTests {
    private let listener = RecordingListener()

    // MARK: What it is told

    @Test func `a mutex is told before and after`() {
        let mutex = Mutex(0)
        listener.listen {
            mutex.withLock { $0 += 1 }
            mutex.lock()
            mutex.unlock()
        }
        #expect(mutex.withLock { $0 } == 1)
        let pair = ["will lock", "did lock", "will unlock", "did unlock"]
        #expect(listener.events == pair + pair)
    }

    @Test func `a try is told with its outcome`() throws {
        let mutex = Mutex(0)
        try mutex.withLock { _ in
            try together(1) { [listener] _ in
                listener.listen { if mutex.tryLock() { mutex.unlock() } }
            }
        }
        #expect(listener.events == ["will tryLock", "failed to tryLock"])
        let found = listener.listen { mutex.withLockIfAvailable { $0 } }
        #expect(found == 0)
        #expect(
            listener.events.dropFirst(2) == [
                "will tryLock", "did tryLock", "will unlock", "did unlock",
            ])
    }

    @Test func `a reader-writer lock is told, and works as ever`() throws {
        let lock = RWLock(1)
        listener.listen {
            #expect(lock.withReadLock { $0 } == 1)
            lock.withWriteLock { $0 = 2 }
            lock.withReadLock { _ in
                #expect(lock.withWriteLockIfAvailable { _ in } == nil)
                #expect(lock.withReadLockIfAvailable { $0 } == 2)
            }
            #expect(lock.withWriteLockIfAvailable { $0 } == 2)
        }
        #expect(
            listener.kinds == [
                .readLock, .readUnlock, .writeLock, .writeUnlock, .readLock, .tryWriteLock,
                .tryReadLock, .readUnlock, .readUnlock, .tryWriteLock, .writeUnlock,
            ])
        #expect(listener.events.filter { $0.hasPrefix("failed") } == ["failed to tryWriteLock"])
        #expect(lock.withWriteLockIfAvailable { $0 } == 2, "nobody holds it any more")
    }

    @Test func `an operation says which lock it is on, and from where`() {
        let mutex = Mutex(0)
        let other = RWLock(0)
        listener.listen {
            mutex.withLock { _ in }
            other.withReadLock { _ in }
        }
        let operations = listener.operations
        #expect(operations[0].address == address(of: mutex))
        #expect(operations[0].lockClass == mutex.lockClass)
        #expect(operations[2].lockClass == other.lockClass)
        #expect(operations[0].site.file.hasSuffix("PassiveListenerTests.swift"))
        #expect(operations[2].site.line == operations[0].site.line + 1)
    }

    @Test func `a wait on a condition releases and acquires the mutex`() throws {
        let mutex = Mutex(false)
        let condition = Condition()
        listener.listen {
            mutex.lock()
            condition.wait(mutex, until: WorldClock.now())
            mutex.unlock()
        }
        #expect(
            listener.events == [
                "will lock", "did lock", "will unlock", "did unlock", "wait a condition begins",
                "wait a condition ends", "will lock", "did lock", "will unlock", "did unlock",
            ])
    }

    @Test func `sections and waits are told, also those that throw`() throws {
        let gate = WaitClass(.gate)
        try? listener.listen { () throws(Refused) in
            try gate.section("gate") { () throws(Refused) in
                gate.waiting("other") {}
                throw Refused()
            }
        }
        #expect(
            listener.events == [
                "section gate begins", "wait other begins", "wait other ends",
                "section gate ends",
            ])
    }

    @Test func `announcements are sections`() {
        let open = Atomic<UInt64>(0)
        func enter(_ key: UInt) -> Presence.Announcement {
            guard
                case .announced(let announcement) = Presence.enter(
                    key, unless: open, has: 1, section: WaitClass(.gate), "gate \(key)")
            else { preconditionFailure("it was not announced") }
            return announcement
        }
        func leave(_ announcement: Presence.Announcement, _ key: UInt) {
            _ = Presence.leave(
                announcement, of: key, andTellWhether: open, has: 1, section: WaitClass(.gate),
                "gate \(key)")
        }
        // Begun before; begun meanwhile, ended after.
        let first = enter(0x10)
        var second = first
        listener.listen {
            #expect(Presence.isInside(0x10))
            second = enter(0x20)
            #expect(Presence.isInside(0x10) && Presence.isInside(0x20))
        }
        #expect(Presence.isInside(0x20))
        let third = enter(0x30)
        #expect(Presence.isInside(0x30))
        leave(third, 0x30)
        listener.listen { leave(second, 0x20) }
        leave(first, 0x10)
        #expect(!Presence.isInsideAnything)
        #expect(listener.events == ["section gate 32 begins", "section gate 32 ends"])
        // The listener, which was not told that it began, is not told that it ends.
        let before = enter(0x40)
        listener.listen { leave(before, 0x40) }
        #expect(!Presence.isInsideAnything && listener.events.count == 2)
    }

    @Test func `a task's section and wait belong to the task`() async {
        let gate = WaitClass(.gate)
        let task = Task { [listener] in
            listener.listen {
                let owner = gate.beginOfTask("gate")
                gate.end(ofTask: owner, "gate")
                return owner
            }
        }
        #expect(await task.value != 0)
        #expect(listener.events == ["task's section gate begins", "task's section gate ends"])
    }

    // MARK: Who is told

    @Test func `what the listener does itself is not told`() {
        let mutex = Mutex(0)
        // The recording listener locks a mutex of its own.
        listener.listen { mutex.withLock { _ in } }
        #expect(listener.operations.count == 2)
        #expect(listener.operations.allSatisfy { $0.lockClass == mutex.lockClass })
    }

    @Test func `a listener that announces itself leaves the thread listened to`() throws {
        try together(1) { _ in
            let mutex = Mutex(0)
            let listener = EnteringListener()
            listener.listen {
                mutex.withLock { _ in }
                mutex.withLock { _ in }
            }
            #expect(listener.count.load(ordering: .relaxed) == 8)
        }
    }

    @Test func `a thread may keep something from its listener`() throws {
        let mutex = Mutex(0)
        try listener.listen {
            try PassiveListener.withoutListener { () throws(Refused) in
                mutex.withLock { _ in }
                #expect(throws: Refused()) {
                    try PassiveListener.withoutListener { () throws(Refused) in throw Refused() }
                }
            }
            #expect(listener.operations.isEmpty)
            mutex.withLock { _ in }
        }
        #expect(listener.kinds == [.lock, .unlock])
    }

    @Test func `nobody is told before and after`() throws {
        let mutex = Mutex(0)
        mutex.withLock { _ in }
        listener.listen {}
        mutex.withLock { _ in }
        try listener.listen { try together(1) { _ in mutex.withLock { _ in } } }
        #expect(listener.operations.isEmpty, "another thread has no listener of this one's")
    }

    @Test func `an inner listener takes the place of the outer one`() {
        let mutex = Mutex(0)
        let inner = RecordingListener()
        listener.listen {
            inner.listen { mutex.withLock { _ in } }
            mutex.lock()
            mutex.unlock()
        }
        #expect(inner.kinds == [.lock, .unlock])
        #expect(listener.kinds == [.lock, .unlock])
    }

    @Test func `an observer wins`() {
        let mutex = Mutex(0)
        let lock = RWLock(0)
        let observer = RecordingObserver()
        func work() {
            mutex.withLock { _ in }
            lock.withReadLock { _ in }
            WaitClass(.gate).section("gate") {}
        }
        listener.listen { observer.watch { work() } }
        observer.watch { listener.listen { work() } }
        #expect(listener.events.isEmpty)
        let once: [OperationKind] = [.lock, .unlock, .readLock, .readUnlock]
        #expect(observer.kinds == once + once)
    }

    @Test func `the fast paths are closed only while somebody listens`() {
        let mutex = Mutex(0)
        mutex.withLock { _ in }
        let block = unsafe quiesce_current_block()
        #expect(unsafe block.pointee.token == block.pointee.id)
        listener.listen {
            mutex.withLock { _ in }
            #expect(unsafe block.pointee.token == 0)
            #expect(unsafe block.pointee.slots == nil)
        }
        #expect(unsafe block.pointee.token == block.pointee.id)
        #expect(unsafe block.pointee.listener == nil)
    }

    @Test func `threads that contend are told and exclude each other`() throws {
        let mutex = Mutex(0)
        try together(4) { [listener] _ in
            listener.listen { for _ in 0..<200 { mutex.withLock { $0 += 1 } } }
        }
        #expect(mutex.withLock { $0 } == 800)
        #expect(listener.operations.count == 1600)
    }

    // MARK: The default, which belongs to a process

    @Test func `threads take up the default when they register`() async {
        await #expect(processExitsWith: .success) {
            let mutex = Mutex(0)
            mutex.withLock { _ in }
            let listener = RecordingListener()
            PassiveListener.default = listener
            precondition(PassiveListener.default === listener)
            mutex.withLock { _ in }
            precondition(listener.events.isEmpty, "this thread has registered before")
            try together(1) { _ in mutex.withLock { _ in } }
            precondition(listener.kinds == [.lock, .unlock])
            let lock = RWLock(0)
            onForeignThread { lock.withReadLock { _ in } }
            precondition(listener.kinds.suffix(2) == [.readLock, .readUnlock])
            onForeignThread { WaitClass(.gate).section("gate") {} }
            precondition(listener.events.last == "section gate ends")
            PassiveListener.default = nil
            try together(1) { _ in mutex.withLock { _ in } }
            precondition(listener.operations.count == 4)
        }
    }

    @Test func `what a value does when its thread ends is told`() async {
        await #expect(processExitsWith: .success) {
            let listener = RecordingListener()
            PassiveListener.default = listener
            try together(1) { _ in atEnd.withValue { _ in } }
            precondition(listener.kinds == [.lock, .unlock])
            precondition(endings.withLock { $0 } == 1)
        }
    }

    @Test func `a forked child has no listener`() async {
        await #expect(processExitsWith: .success) {
            let listener = RecordingListener()
            PassiveListener.default = listener
            let mutex = Mutex(0)
            let status = listener.listen {
                RecordingListener().listen {
                    forkedChild {
                        mutex.withLock { $0 += 1 }
                        guard listener.events.isEmpty else { _exit(2) }
                        guard PassiveListener.default == nil else { _exit(3) }
                        guard unsafe quiesce_current_block().pointee.token != 0 else { _exit(4) }
                        // It may set its own.
                        let own = RecordingListener()
                        own.listen { mutex.withLock { $0 += 1 } }
                        guard own.kinds == [.lock, .unlock] else { _exit(5) }
                    }
                }
            }
            precondition(status == 0, "\(String(describing: status))")
            listener.listen { mutex.withLock { _ in } }
            precondition(listener.kinds == [.lock, .unlock])
        }
    }

    @Test func `a child that leaves the scopes of its parent's listeners has none`() async {
        await #expect(processExitsWith: .success) {
            let listener = RecordingListener()
            let mutex = Mutex(0)
            let child: pid_t = listener.listen {
                RecordingListener().listen { plainFork() }
            }
            mutex.withLock { $0 += 1 }
            if child == 0 { _exit(listener.events.isEmpty ? 0 : 2) }
            var status: Int32 = 0
            precondition(unsafe waitpid(child, &status, 0) == child && status == 0)
        }
    }
}

/// Enters and leaves something while it is told.
private final class EnteringListener: PassiveListener, @unchecked Sendable {
    // Unchecked: what it holds is atomic.
    let count = Atomic(0)
    private let open = Atomic<UInt64>(0)

    override func willPerform(_ operation: LockOperation) { enter() }
    override func didPerform(_ operation: LockOperation, succeeded: Bool) { enter() }

    private func enter() {
        count.add(1, ordering: .relaxed)
        guard
            case .announced(let announcement) = Presence.enter(
                0x40, unless: open, has: 1, section: WaitClass(.gate), "own")
        else { preconditionFailure("it was not announced") }
        _ = Presence.leave(
            announcement, of: 0x40, andTellWhether: open, has: 1, section: WaitClass(.gate), "own")
    }
}

private let endings = Mutex(0)
private let atEnd = ThreadLocal<AtEnd>(AtEnd())

private final class AtEnd: Sendable {
    deinit { endings.withLock { $0 += 1 } }
}

private func plainFork() -> pid_t {
    typealias Fork = @convention(c) () -> pid_t
    return unsafe unsafeBitCast(dlsym(nil, "fork"), to: Fork.self)()
}
