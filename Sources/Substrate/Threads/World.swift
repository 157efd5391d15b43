// SPDX-License-Identifier: Apache-2.0

public import CSubstrate
public import Synchronization

/// Everything that is process-wide hangs off a world, which a thread reaches through its block.
///
/// The process has one; each execution of an exploration starts in a fresh one, so that no state
/// survives an execution and explorations run beside each other.
public final class World: Sendable {
    /// How many threads can run at once.
    public let processorCount: Int
    /// How long a pool of threads stands still before it runs one thread more; nil where it never
    /// does.
    public let rescueDelay: Duration?

    /// A reference of this world's to each of its objects, by the number of its key; 0 for one that
    /// nobody has asked for. As many as `WorldKeys.limit`.
    @usableFromInline
    let objects: InlineArray<32, Synchronization.Atomic<UInt>> = InlineArray { _ in
        Synchronization.Atomic(0)
    }
    /// Held while an object is made.
    private let making = ForkLock(())
    // Beside the objects, because every execution of an exploration asks.
    private let wasAsked = Synchronization.Atomic(false)
    private let threads = ForkLock(Threads())

    private struct Threads: Sendable {
        var next: UInt32 = 1
        var free: [UInt32] = []
        var live: [UInt32] = []
        /// The threads that forks left behind in this process's parents. Their numbers are not
        /// given out again: what they hold names them.
        var stayed: [UInt32] = []
    }

    /// A world in which `processorCount` threads run at once.
    ///
    /// - Parameter rescueDelay: how long a pool of threads stands still before it runs one thread
    ///   more. An explored world has none, so that a pool whose threads are all blocked is the
    ///   deadlock that it is.
    public init(processorCount: Int, rescueDelay: Duration? = nil) {
        self.processorCount = processorCount
        self.rescueDelay = rescueDelay
    }

    /// The world of everything that is not explored.
    public static let process = World(
        processorCount: Int(quiesce_processor_count()), rescueDelay: .milliseconds(100))

    /// How many forks lie between this process and the one that loaded the program. What was made
    /// under another number has no threads here, and its locks may be held for ever.
    public static var generation: UInt32 { forks.load(ordering: .relaxed) }
    private static let forks = Synchronization.Atomic<UInt32>(0)

    /// The running thread's world.
    @inlinable
    public static var current: World {
        guard let pointer = unsafe quiesce_current_block().pointee.world else { return process }
        return unsafe Unmanaged<World>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// The object of this world that `key` names, made by the first caller.
    ///
    /// Finding it is a few loads and a retain. `make` runs under the world's lock and must not ask
    /// for another.
    @inlinable
    public func value<Value: AnyObject & Sendable>(_ key: WorldKey<Value>, make: () -> Value)
        -> Value
    {
        find(key) ?? makeValue(key, make)
    }

    @inlinable
    @inline(__always)
    func find<Value: AnyObject & Sendable>(_ key: WorldKey<Value>) -> Value? {
        let address = objects[key.index].load(ordering: .acquiring)
        guard let pointer = unsafe UnsafeRawPointer(bitPattern: address) else { return nil }
        return unsafe Unmanaged<Value>.fromOpaque(pointer).takeUnretainedValue()
    }

    @usableFromInline
    @inline(never)
    func makeValue<Value: AnyObject & Sendable>(_ key: WorldKey<Value>, _ make: () -> Value)
        -> Value
    {
        wasAsked.store(true, ordering: .releasing)
        return making.withLock { _ in
            if let found = find(key) { return found }
            let made = make()
            let reference = unsafe Unmanaged.passRetained(made)
            objects[key.index].store(
                unsafe UInt(bitPattern: reference.toOpaque()), ordering: .releasing)
            return made
        }
    }

    /// What the threads are inside of.
    var presence: PresenceTable { find(World.presenceKey) ?? makePresence() }

    private static var presenceKey: WorldKey<PresenceTable> { WorldKey(index: WorldKeys.presence) }

    // Without the lock: a thread that makes another object may need the table to register.
    private func makePresence() -> PresenceTable {
        wasAsked.store(true, ordering: .releasing)
        let made = PresenceTable()
        let reference = unsafe Unmanaged.passRetained(made)
        let address = unsafe UInt(bitPattern: reference.toOpaque())
        if objects[WorldKeys.presence].compareExchange(
            expected: 0, desired: address, ordering: .acquiringAndReleasing
        ).exchanged {
            return made
        }
        // Somebody else was first.
        unsafe reference.release()
        return presence
    }

    deinit {
        for index in objects.indices {
            let address = objects[index].load(ordering: .acquiring)
            guard let pointer = unsafe UnsafeRawPointer(bitPattern: address) else { continue }
            unsafe Unmanaged<AnyObject>.fromOpaque(pointer).release()
        }
    }

    /// Whether nobody has asked this world for anything.
    public var isPristine: Bool { !wasAsked.load(ordering: .acquiring) }

    /// The numbers of the threads that have registered with this world and not ended.
    ///
    /// A thread that is not among them has ended before the call, and what it did happens before;
    /// or it registers later, and sees what the caller did before the call.
    package var liveThreads: [UInt32] { threads.withLock { $0.live } }

    /// What to call the thread with this number in a message.
    public static func name(ofThread number: UInt32) -> String {
        if let observer = Watch.observer {
            return observer.with { $0.name(ofThread: number) } ?? "number \(number)"
        }
        return nameInProcess(ofThread: number)
    }

    /// The same for a thread of the process's world, whatever the running thread's is.
    static func nameInProcess(ofThread number: UInt32) -> String {
        let thread = process.presence.threadID(of: number)
        var name = [CChar](repeating: 0, count: 16)
        let isKnown = unsafe name.withUnsafeMutableBufferPointer {
            unsafe quiesce_thread_name(Int32(truncatingIfNeeded: thread), $0.baseAddress!)
        }
        let text = String(
            decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return isKnown && thread != 0 ? "\"\(text)\" (\(thread))" : "number \(number)"
    }

    /// The running thread's number in its world; a thread that Substrate did not make registers by
    /// asking.
    public static var currentThread: UInt32 { LockWord.token() }

    /// How many threads have registered with this world and not ended.
    public var registeredThreadCount: Int { liveThreads.count }

    /// Gives the running thread a number in the process's world. The number is given back when the
    /// thread ends.
    ///
    /// Threads that Substrate did not make register at their first use.
    @discardableResult
    static func registerCurrentThread() -> UInt32 {
        let block = unsafe quiesce_current_block()
        if unsafe block.pointee.id != 0 { return unsafe block.pointee.id }
        let id = process.threads.withLock { threads in
            let id = threads.free.popLast() ?? threads.next
            if id == threads.next { threads.next += 1 }
            threads.live.append(id)
            return id
        }
        precondition(id < LockWord.explored, "more threads than a lock word can name")
        unsafe block.pointee.id = id
        if unsafe block.pointee.listener == nil {
            unsafe block.pointee.listener = PassiveListener.defaultPointer
        }
        unsafe Watch.setFastPaths(of: block)
        process.presence.note(UInt(quiesce_thread_id()), threadOf: id)
        unsafe quiesce_block_watch_exit { block in unsafe World.threadEnds(block) }
        return id
    }

    private static func threadEnds(_ block: UnsafeMutablePointer<quiesce_block>) {
        let id = unsafe block.pointee.id
        // A value may use other variables when it is destroyed, which makes values anew; as POSIX
        // does for its thread-specific data, we go round a few times.
        for _ in 0..<4 {
            guard let locals = unsafe block.pointee.locals else { break }
            unsafe block.pointee.locals = nil
            unsafe Unmanaged<AnyObject>.fromOpaque(locals).release()
        }
        guard id != 0 else { return }
        unsafe block.pointee.row = nil
        unsafe block.pointee.fork_mark = nil
        if process.presence.isInside(id) {
            fatalError("a thread ended inside a gate, whose close() would wait for ever")
        }
        process.presence.clear(id)
        unsafe block.pointee.id = 0
        unsafe block.pointee.listener = nil
        unsafe Watch.setFastPaths(of: block)
        process.threads.withLock { threads in
            if let place = threads.live.firstIndex(of: id) { threads.live.remove(at: place) }
            threads.free.append(id)
        }
    }

    // A fork copies the locks as they stand. The forking thread holds them, so no other thread
    // does.
    fileprivate func beforeFork() {
        Constants.makeAll()
        ForkSection.beforeFork()
        making.lock()
        threads.lock()
    }

    fileprivate func afterForkInParent() {
        threads.unlock()
        making.unlock()
        ForkSection.afterForkInParent()
    }

    /// A forked child has one thread, which goes on under its number.
    fileprivate func afterForkInChild() {
        World.forks.wrappingAdd(1, ordering: .relaxed)
        threads.reset()
        making.reset()
        ForkSection.afterForkInChild()
        leaveOwnersBehind()
        // The pool that was told when the forking thread blocks has stayed behind.
        unsafe quiesce_current_block().pointee.blocking = nil
        PassiveListener.leaveBehind()
        let id = unsafe quiesce_current_block().pointee.id
        let stayed = liveThreads.filter { $0 != id }
        for other in stayed { presence.clear(other) }
        if id != 0 { presence.note(UInt(quiesce_thread_id()), threadOf: id) }
        threads.withLock { threads in
            threads.live = id == 0 ? [] : [id]
            threads.stayed += stayed
        }
        World.forkingThread.store(id, ordering: .relaxed)
        World.forkingTask.store(World.currentTask, ordering: .relaxed)
    }

    private static let forkingThread = Synchronization.Atomic<UInt32>(0)
    private static let forkingTask = Synchronization.Atomic<UInt>(0)

    /// The number of the thread that forked this process, and the task that it was running; 0 where
    /// there is none. They alone have gone on from the parent.
    package static var survivor: (thread: UInt32, task: UInt) {
        (forkingThread.load(ordering: .relaxed), forkingTask.load(ordering: .relaxed))
    }

    /// What identifies the running task as long as it lives; 0 outside of tasks.
    package static var currentTask: UInt { unsafe UInt(bitPattern: quiesce_jobs_current()) }

    /// Whether the thread with this number is one of the process that this one was forked from, and
    /// so does not run here.
    package static func hasStayedBehind(_ number: UInt32) -> Bool {
        // The numbers of explored threads are others.
        guard generation != 0, Watch.observer == nil else { return false }
        return process.threads.withLock { $0.stayed.contains(number) }
    }

    /// Makes this world, in a forked child, forget the objects whose threads stayed behind.
    private func leaveOwnersBehind() {
        for index in objects.indices {
            let address = objects[index].load(ordering: .relaxed)
            guard let pointer = unsafe UnsafeRawPointer(bitPattern: address),
                let owner = unsafe Unmanaged<AnyObject>.fromOpaque(pointer).takeUnretainedValue()
                    as? any ServiceThread.Owner
            else { continue }
            objects[index].store(0, ordering: .relaxed)
            // The reference is not given back: the object is never touched again, not even to
            // destroy it.
            ServiceThread.leaveBehind(owner)
        }
    }
}

@_cdecl("quiesce_before_fork")
func beforeFork() { World.process.beforeFork() }

@_cdecl("quiesce_after_fork_in_parent")
func afterForkInParent() { World.process.afterForkInParent() }

@_cdecl("quiesce_after_fork_in_child")
func afterForkInChild() { World.process.afterForkInChild() }
