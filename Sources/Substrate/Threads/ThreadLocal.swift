// SPDX-License-Identifier: Apache-2.0

import CSubstrate

/// A variable of which every thread has its own value.
///
/// A thread's value is made at its first use and destroyed when the thread ends. Each explored
/// thread has its own.
public final class ThreadLocal<Value>: Sendable {
    private let initial: @Sendable () -> Value

    /// A variable whose values start as `initial`.
    public init(_ initial: @escaping @autoclosure @Sendable () -> Value) {
        self.initial = initial
    }

    /// Calls `body` with the running thread's value.
    ///
    /// `body` may use other thread-local variables, not this one.
    public func withValue<Result: ~Copyable, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let box = box()
        return try body(&box.value)
    }

    private final class Box {
        var value: Value
        init(_ value: Value) { self.value = value }
    }

    private func box() -> Box {
        let table = ThreadLocalTable.current()
        if let found = table.boxes[ObjectIdentifier(self)] {
            return unsafe unsafeDowncast(found.box, to: Box.self)
        }
        let made = Box(initial())
        table.boxes[ObjectIdentifier(self)] = (self, made)
        return made
    }
}

/// The values of one thread.
final class ThreadLocalTable {
    // The variable is kept too, so that its identity is not given to another one while the value
    // lives.
    var boxes: [ObjectIdentifier: (variable: AnyObject, box: AnyObject)] = [:]

    static func current() -> ThreadLocalTable {
        let block = unsafe quiesce_current_block()
        if let pointer = unsafe block.pointee.locals {
            return unsafe Unmanaged<ThreadLocalTable>.fromOpaque(pointer).takeUnretainedValue()
        }
        // An explored thread's table is released by its explorer; an ordinary one's when the thread
        // ends.
        if unsafe block.pointee.observer == nil { World.registerCurrentThread() }
        let table = ThreadLocalTable()
        unsafe block.pointee.locals = Unmanaged.passRetained(table).toOpaque()
        return table
    }
}
