// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Substrate

/// A stack to run on. The scheduler that makes it destroys it, and switches only between fibers of
/// its own thread.
@safe
struct Fiber: BitwiseCopyable {
    private let pointer: OpaquePointer

    private static let stackSize = 256 * 1024

    /// The calling thread's own stack.
    static func host() -> Fiber { unsafe Fiber(pointer: quiesce_fiber_host()) }

    /// Nil where the system refuses the memory.
    static func make() -> Fiber? {
        unsafe quiesce_fiber_create(stackSize).map { unsafe Fiber(pointer: $0) }
    }

    func destroy() { unsafe quiesce_fiber_destroy(pointer) }

    /// Makes the next switch to this fiber begin in `scheduler`, which watches it, as the thread
    /// numbered `id` of `world`.
    func prepare(_ scheduler: Scheduler, world: World, id: UInt32) {
        var block = unsafe quiesce_block()
        unsafe block.observer = Unmanaged<Observer>.passUnretained(scheduler).toOpaque()
        unsafe block.world = Unmanaged.passUnretained(world).toOpaque()
        unsafe block.id = id
        unsafe quiesce_fiber_prepare(
            pointer,
            {
                unsafe Unmanaged<Scheduler>.fromOpaque($0!)._withUnsafeGuaranteedRef {
                    $0.runBody()
                }
            },
            Unmanaged.passUnretained(scheduler).toOpaque(), &block)
    }

    /// Gives the fiber, which was prepared for a thread, the task-local values of the task at
    /// `address`.
    func lend(_ address: UInt) {
        unsafe quiesce_jobs_lend_locals(pointer, UnsafeRawPointer(bitPattern: address)!)
    }

    @inline(__always)
    func switchTo(_ other: Fiber) { unsafe quiesce_fiber_switch(pointer, other.pointer) }

    func contains(_ address: UInt) -> Bool { unsafe quiesce_fiber_contains(pointer, address) }

    fileprivate var raw: OpaquePointer { unsafe pointer }
}

/// Where the traps of a thread's fibers are told.
@safe
final class TrapCatcher {
    private let running: UnsafeMutablePointer<OpaquePointer?>
    private let trap: UnsafeMutablePointer<quiesce_trap>

    init() {
        unsafe running = .allocate(capacity: 1)
        unsafe running.initialize(to: nil)
        unsafe trap = .allocate(capacity: 1)
        unsafe trap.initialize(to: quiesce_trap())
    }

    deinit {
        unsafe running.deallocate()
        unsafe trap.deallocate()
    }

    /// Runs `body`; a fiber that traps meanwhile is abandoned and `host` goes on.
    func catching<Result>(_ scheduler: Scheduler, host: Fiber, _ body: () throws -> Result) rethrows
        -> Result
    {
        unsafe quiesce_trap_begin(
            host.raw, running, trap,
            {
                unsafe Unmanaged<Scheduler>.fromOpaque($0!)._withUnsafeGuaranteedRef {
                    $0.reportFatal()
                }
            },
            Unmanaged.passUnretained(scheduler).toOpaque())
        defer { quiesce_trap_end() }
        return try body()
    }

    /// Says which fiber runs now, nil for none.
    @inline(__always)
    func runs(_ fiber: Fiber?) { unsafe running.pointee = fiber?.raw }

    /// The trap that happened since this was last asked.
    func take() -> quiesce_trap? {
        guard unsafe trap.pointee.signal != 0 else { return nil }
        defer { unsafe trap.pointee.signal = 0 }
        return unsafe trap.pointee
    }
}

/// A place for a thread's closure. Running it takes no reference, so that a fiber that is given up
/// keeps nothing; the place is used again in the next execution.
@safe
struct ThreadBody: BitwiseCopyable {
    private struct Content {
        let run: @Sendable () -> Void
    }

    private var place: UnsafeMutablePointer<Content>?
    private var isFull = false

    init() { unsafe place = nil }

    mutating func fill(_ run: @escaping @Sendable () -> Void) {
        release()
        let place = unsafe place ?? .allocate(capacity: 1)
        unsafe self.place = place
        unsafe place.initialize(to: Content(run: run))
        isFull = true
    }

    /// Calls the closure, which stays.
    func run() {
        guard isFull, let place = unsafe place else { return }
        // A closure is a function and what it captures. Swift would retain the latter for the call.
        unsafe place.withMemoryRebound(to: quiesce_closure.self, capacity: 1) {
            unsafe quiesce_call($0.pointee)
        }
    }

    mutating func release() {
        guard isFull, let place = unsafe place else { return }
        isFull = false
        unsafe place.deinitialize(count: 1)
    }

    /// Gives the place back.
    mutating func destroy() {
        release()
        unsafe place?.deallocate()
        unsafe place = nil
    }
}
