// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

/// A listener is told of the locks and the waits of threads that run on the processor as usual: a
/// validator, a tracer or a meter derives from this class.
///
/// Unlike an `Observer`, it decides nothing: the thread that operates calls it, then performs the
/// operation, then calls it again. It can be on in production. A thread that has no listener pays
/// nothing for that others can have one. A thread that has an observer never tells a listener.
///
/// - Several threads call a listener at once.
/// - What the listener itself does with locks, sections and waits while it is told is not told.
/// - A lock that a thread acquired before it had the listener is told only when it is released, and
///   one that it releases later is told only when it is acquired.
/// - A wait on a `Condition` is told as the release of the mutex, the wait and the acquisition of
///   the mutex.
/// - A forked child has no listener: another thread may have been changing what it holds. The child
///   sets its own.
open class PassiveListener: @unchecked Sendable {
    // Unchecked: what a derived class holds is its own matter.

    /// Makes locks note where they are made, from now on.
    public init() { LockClass.wantSites() }

    /// The running thread is about to perform `operation`, which may block.
    open func willPerform(_ operation: LockOperation) {}

    /// The running thread has performed `operation`. `succeeded` is false for a try that found the
    /// lock taken. After an unlock, the lock may be gone already.
    open func didPerform(_ operation: LockOperation, succeeded: Bool) {}

    /// A section of `waitClass` begins or ends, on the running thread.
    ///
    /// A task may end its section on another thread, which tells its own listener.
    ///
    /// - Parameter name: what messages call the object that it is a section of.
    open func section(
        of waitClass: WaitClass, _ name: () -> String, _ owner: WaitClass.Owner, begins: Bool
    ) {}

    /// The owner begins or ceases to wait for the sections of `waitClass`.
    ///
    /// A task that suspends in its wait may end it on another thread, which tells its own listener.
    ///
    /// - Parameter name: what messages call the object that is waited for.
    open func waits(
        for waitClass: WaitClass, _ name: () -> String, _ owner: WaitClass.Owner, begins: Bool
    ) {}

    // MARK: Which listener a thread has

    /// Runs `body` while this listens to the running thread, in place of the thread's own listener.
    ///
    /// Threads that `body` starts take up the default. On an explored thread, it only runs `body`.
    public final func listen<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard Watch.observer == nil else { return try body() }
        World.registerCurrentThread()
        defer { withExtendedLifetime(self) {} }
        return try unsafe Self.with(Unmanaged.passUnretained(self).toOpaque(), body)
    }

    /// Runs `body` while nobody listens to the running thread.
    ///
    /// A listener that is asked for what it knows, by a thread that it listens to, uses its locks
    /// in here: it cannot be told of those.
    public static func withoutListener<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard isListening else { return try body() }
        return try unsafe with(nil, body)
    }

    private static func with<Result: ~Copyable, Failure: Error>(
        _ pointer: UnsafeMutableRawPointer?, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let outer = unsafe quiesce_current_block().pointee.listener
        let generation = World.generation
        unsafe setListener(pointer)
        defer {
            // A child that was forked meanwhile has left the outer listener behind.
            if World.generation == generation { unsafe setListener(outer) }
        }
        return try body()
    }

    /// The listener that a thread takes up when it registers, which is when it first uses a lock or
    /// when `WorldThread` starts it.
    ///
    /// Set it before threads start: those that have registered keep the listener that they have, or
    /// none. A listener that was the default lives as long as the process, since threads go on
    /// telling it.
    public static var `default`: PassiveListener? {
        get {
            guard let pointer = unsafe defaultPointer else { return nil }
            return unsafe Unmanaged<PassiveListener>.fromOpaque(pointer).takeUnretainedValue()
        }
        set {
            let address = newValue.map {
                unsafe UInt(bitPattern: Unmanaged.passRetained($0).toOpaque())
            }
            defaultAddress.store(address ?? 0, ordering: .releasing)
        }
    }

    /// A reference that is never given back; 0 for none.
    private static let defaultAddress = Synchronization.Atomic<UInt>(0)

    static var defaultPointer: UnsafeMutableRawPointer? {
        unsafe UnsafeMutableRawPointer(bitPattern: defaultAddress.load(ordering: .acquiring))
    }

    private static func setListener(_ pointer: UnsafeMutableRawPointer?) {
        let block = unsafe quiesce_current_block()
        unsafe block.pointee.listener = unsafe pointer
        unsafe Watch.setFastPaths(of: block)
    }

    /// Makes a forked child, which runs the thread that forked, forget its parent's listeners.
    static func leaveBehind() {
        defaultAddress.store(0, ordering: .relaxed)
        unsafe setListener(nil)
    }

    // MARK: Telling

    /// Whether the running thread has a listener. A thread takes up the default here if it has not
    /// registered so far. For slow paths.
    static var isListening: Bool {
        let block = unsafe quiesce_current_block()
        if unsafe block.pointee.id == 0 && defaultPointer != nil { World.registerCurrentThread() }
        return unsafe block.pointee.listener != nil
    }

    /// Tells the running thread's listener, if it has one. The caller has no observer.
    static func tell(_ body: (PassiveListener) -> Void) {
        guard isListening, let pointer = unsafe quiesce_current_block().pointee.listener else {
            return
        }
        let generation = World.generation
        // Not `setListener`: the fast paths stay closed.
        unsafe quiesce_current_block().pointee.listener = nil
        unsafe Unmanaged<PassiveListener>.fromOpaque(pointer)._withUnsafeGuaranteedRef(body)
        // A row that was first used meanwhile has opened the fast paths.
        if World.generation == generation { unsafe setListener(pointer) }
    }

    /// Performs an operation on a lock, and tells the running thread's listener before and after.
    static func told(
        _ kind: OperationKind, at address: UInt, of lockClass: LockClass, _ site: Site,
        _ perform: () -> Bool
    ) -> Bool {
        guard unsafe quiesce_current_block().pointee.listener != nil else { return perform() }
        let operation = LockOperation(
            kind: kind, address: address, lockClass: lockClass, site: site)
        tell { $0.willPerform(operation) }
        let succeeded = perform()
        tell { $0.didPerform(operation, succeeded: succeeded) }
        return succeeded
    }
}
