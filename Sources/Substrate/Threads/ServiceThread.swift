// SPDX-License-Identifier: Apache-2.0

/// A thread that serves others, which its owner starts when it first needs it.
///
/// It leaves the process's signals to other threads. While explored, it waits with `WaitPoint.idle`
/// and ends when that says so; any other wait of it counts as anybody's.
package struct ServiceThread: Sendable {
    /// An object that has service threads, or that a child does better without. It is one of the
    /// values of a world.
    ///
    /// A forked child does not have the threads, and what the object holds may be half changed or
    /// locked for ever. So the child's world lets go of it, and makes another when it is asked for.
    /// Code that kept the object can tell: the world's generation is not the one in which it was
    /// made.
    package protocol Owner: AnyObject, Sendable {
        /// Gives back, in a child, what the object holds of the system beside memory. It takes none
        /// of its locks.
        func leaveBehind()
    }

    private let name: String
    /// Whether the thread was started.
    package private(set) var isStarted = false

    /// A thread that nobody has needed so far.
    ///
    /// - Parameter name: what debuggers and traces call it; the kernel keeps 15 characters.
    package init(name: String) {
        self.name = name
    }

    /// Starts the thread, unless that was done.
    ///
    /// When the system refuses, the thread is as it was, and the next call tries again.
    ///
    /// - Parameter serve: what the thread does. It keeps the thread's owner.
    package mutating func start(_ serve: @escaping @Sendable () -> Void) throws(ThreadError) {
        guard !isStarted else { return }
        _ = try WorldThread.spawn(name: name, blocksSignals: true, serve)
        isStarted = true
    }

    /// Tries again for a second to start a thread that was refused, in pauses that double, and says
    /// whether `start` has done so.
    ///
    /// For owners that have no caller to report the refusal to. The caller holds no lock. Kernel
    /// counterpart: the cooldown in `maybe_create_worker`.
    package static func tryAgain(_ start: () -> Bool) -> Bool {
        var pause = Duration.milliseconds(1)
        while pause < .seconds(1) {
            WorldClock.sleep(for: pause)
            if start() { return true }
            pause *= 2
        }
        return false
    }

    /// Makes a forked child forget an owner of its parent.
    static func leaveBehind(_ owner: some Owner) {
        owner.leaveBehind()
    }
}

extension ServiceThread.Owner {
    /// Nothing: most hold memory alone.
    package func leaveBehind() {}
}
