// SPDX-License-Identifier: Apache-2.0

public import CSubstrate
internal import Synchronization

/// A variable of which every thread has its own value.
///
/// A thread makes its value at its first use. The value is destroyed, by its thread, when the thread
/// ends. Once the variable itself is gone, it is destroyed earlier: at once on the thread that let
/// go of the variable; on another thread, when that makes values of other variables, at the latest
/// when as many variables are gone as the thread has values of living ones. Each explored thread has
/// its own value, which other threads do not cause to be destroyed.
///
/// Finding the value is a few loads: a thread's values are in a table, which has room for a few
/// times as many as the thread has.
public final class ThreadLocal<Value>: Sendable {
    @usableFromInline let key: UInt64
    private let life: ThreadLocalLife
    private let initial: @Sendable () -> Value

    /// A variable whose values start as `initial`.
    public init(_ initial: @escaping @autoclosure @Sendable () -> Value) {
        key = ThreadLocalLife.takeKey()
        life = unsafe ThreadLocalLife {
            let held = unsafe $0.assumingMemoryBound(to: Held.self)
            unsafe held.deinitialize(count: 1)
            unsafe held.deallocate()
        }
        self.initial = initial
    }

    deinit {
        life.end()
        ThreadLocalTable.dropOwn(key)
    }

    /// Calls `body` with the running thread's value.
    ///
    /// `body` may use other thread-local variables, not this one. What `body` returns, and what it
    /// leaves in the value, must not be reachable by others: a task that goes on on another thread
    /// has left the first thread's value behind.
    @inlinable
    public func withValue<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        let held = unsafe held()
        guard unsafe !held.pointee.isLent else { Self.trapOnSecondUse() }
        unsafe held.pointee.isLent = true
        // Were the variable gone before `body` ends, so would the value be.
        defer { withExtendedLifetime(self) { unsafe held.pointee.isLent = false } }
        return unsafe try body(&held.pointee.value)
    }

    /// A value, and whether it is in use.
    @usableFromInline
    struct Held {
        @usableFromInline var value: Value
        @usableFromInline var isLent = false
    }

    @inlinable
    @inline(__always)
    func held() -> UnsafeMutablePointer<Held> {
        if let locals = unsafe quiesce_current_block().pointee.locals,
            let found = unsafe Unmanaged<ThreadLocalTable>.fromOpaque(locals)
                ._withUnsafeGuaranteedRef({ unsafe $0.findAtHome(key) })
        {
            return unsafe found.assumingMemoryBound(to: Held.self)
        }
        return unsafe heldElsewhere()
    }

    @usableFromInline
    @inline(never)
    func heldElsewhere() -> UnsafeMutablePointer<Held> {
        if let found = unsafe find() { return unsafe found }
        // Both call what is not ours, which may use the table.
        ThreadLocalTable.current().dropDead()
        let value = initial()
        // The initial value has used the variable itself.
        if let found = unsafe find() { return unsafe found }
        let held = UnsafeMutablePointer<Held>.allocate(capacity: 1)
        unsafe held.initialize(to: Held(value: value))
        unsafe ThreadLocalTable.current().insert(held, key, life)
        return unsafe held
    }

    private func find() -> UnsafeMutablePointer<Held>? {
        unsafe ThreadLocalTable.current().find(key)?.assumingMemoryBound(to: Held.self)
    }

    @usableFromInline
    static func trapOnSecondUse() -> Never {
        fatalError("a thread used a ThreadLocal inside of its own withValue")
    }
}

/// What a thread-local variable and its values have in common. Each value keeps it, and so finds out
/// that the variable is gone.
@safe
final class ThreadLocalLife: Sendable {
    let destroy: @Sendable (UnsafeMutableRawPointer) -> Void
    private let isOverFlag = Synchronization.Atomic(false)

    init(destroy: @escaping @Sendable (UnsafeMutableRawPointer) -> Void) {
        unsafe self.destroy = unsafe destroy
    }

    /// Whether the variable is gone.
    var isOver: Bool { isOverFlag.load(ordering: .acquiring) }

    func end() {
        isOverFlag.store(true, ordering: .releasing)
        Self.ended.wrappingAdd(1, ordering: .relaxed)
    }

    private static let ended = Synchronization.Atomic<UInt64>(0)
    private static let keys = Synchronization.Atomic<UInt64>(0)

    /// How many variables of the process are gone. Threads look whether values of theirs are among
    /// them when this has grown.
    static var endedCount: UInt64 { ended.load(ordering: .relaxed) }

    /// A number that no other variable has had. Never 0.
    static func takeKey() -> UInt64 { keys.wrappingAdd(1, ordering: .relaxed).newValue }
}
