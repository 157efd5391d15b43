// SPDX-License-Identifier: Apache-2.0

import Substrate

/// The states of a program's objects, as a step finds them and leaves them.
///
/// Three implement it: the execution that runs (`Scheduler`), another place of an execution that is
/// over (`Configuration`), and a model of a few small objects, with which a test proves that steps
/// commute whose footprints do not conflict.
protocol ObjectStates: AnyObject {
    func lock(_ object: Int32) -> LockState
    func set(_ object: Int32, _ state: LockState)
    /// The waiters of a condition, or of a wait point.
    func waiters(_ object: Int32) -> WaiterState
    func set(_ object: Int32, _ state: WaiterState)
    /// The state of an object that brings its own machine, and all such machines.
    func state(_ object: Int32) -> Bits
    func set(_ object: Int32, _ state: Bits, from before: Bits)
    var machines: Machines { get }
    /// The value of an atomic variable.
    func word(_ object: Int32) -> Bits

    /// Whether no timer ends before `deadline`, so that the timer of `thread` may fire.
    func mayFire(_ thread: Int32, at deadline: UInt64) -> Bool
    /// The thread's timer ends at `deadline`; 0 for no timer.
    func setTimer(of thread: Int32, _ deadline: UInt64)
    /// Whether timers and readers of the clock order one another.
    var hasOrderedTime: Bool { get }

    /// Whether `thread` has stores that others do not see yet; with nil, whether any has.
    func hasBufferedStores(_ thread: Int32?) -> Bool

    /// Whether a store of `thread` to `object` is in its buffer.
    func isBuffered(_ object: Int32, by thread: Int32) -> Bool

    /// Adds the memory that holds `object`, which must not have been freed.
    func touchLifetime(of object: Int32, _ footprint: inout Footprint)
    /// Adds what an access of `object` touches: the object, the memory that holds it, the subject
    /// that it is a part of.
    func touch(_ object: Int32, writes: Bool, _ footprint: inout Footprint)
}
