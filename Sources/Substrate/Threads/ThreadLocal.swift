// SPDX-License-Identifier: Apache-2.0

public import CSubstrate

/// A variable of which every thread has its own value.
///
/// A thread's value is made at its first use. It is destroyed when the thread ends; once the
/// variable itself is gone, perhaps earlier, when the thread uses a newer variable. Each explored
/// thread has its own.
///
/// Finding the value is a few loads: a variable has a number, by which a thread's table is indexed.
public final class ThreadLocal<Value>: Sendable {
    @usableFromInline let number: ThreadLocalNumber
    private let initial: @Sendable () -> Value

    /// A variable whose values start as `initial`.
    public init(_ initial: @escaping @autoclosure @Sendable () -> Value) {
        number = ThreadLocalNumbers.take()
        self.initial = initial
    }

    deinit { ThreadLocalNumbers.giveBack(number) }

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
        // Were the variable gone before `body` ends, its number could be used again meanwhile.
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
                ._withUnsafeGuaranteedRef({ unsafe $0.find(number) })
        {
            return unsafe found.assumingMemoryBound(to: Held.self)
        }
        return unsafe makeHeld()
    }

    @usableFromInline
    @inline(never)
    func makeHeld() -> UnsafeMutablePointer<Held> {
        // Calls what is not ours: the table may have grown when it returns.
        ThreadLocalTable.current().dropPredecessor(of: number)
        let value = initial()
        let table = ThreadLocalTable.current()
        // The initial value has used the variable itself.
        if let found = unsafe table.find(number) {
            return unsafe found.assumingMemoryBound(to: Held.self)
        }
        let held = UnsafeMutablePointer<Held>.allocate(capacity: 1)
        unsafe held.initialize(to: Held(value: value))
        unsafe table.insert(held, number) {
            let held = unsafe $0.assumingMemoryBound(to: Held.self)
            unsafe held.deinitialize(count: 1)
            unsafe held.deallocate()
        }
        return unsafe held
    }

    @usableFromInline
    static func trapOnSecondUse() -> Never {
        fatalError("a thread used a ThreadLocal inside of its own withValue")
    }
}

/// What tells a thread-local variable: a small index, which is used again, and the generation, which
/// is not.
@frozen
@usableFromInline
struct ThreadLocalNumber: Sendable, Equatable {
    @usableFromInline let index: Int
    /// Never 0.
    @usableFromInline let generation: UInt64
}

/// The numbers of the process's thread-local variables.
enum ThreadLocalNumbers {
    private struct State {
        var next = 0
        var free: [Int] = []
        var generation: UInt64 = 0
    }

    private static let state = ForkLock(State())

    static func take() -> ThreadLocalNumber {
        // A fork must find the lock free, which is the business of the process's world.
        _ = World.process
        return state.withLock { state in
            state.generation += 1
            if let index = state.free.popLast() {
                return ThreadLocalNumber(index: index, generation: state.generation)
            }
            defer { state.next += 1 }
            return ThreadLocalNumber(index: state.next, generation: state.generation)
        }
    }

    static func giveBack(_ number: ThreadLocalNumber) {
        state.withLock { $0.free.append(number.index) }
    }

    static func lock() { state.lock() }
    static func unlock() { state.unlock() }
    static func reset() { state.reset() }
}
