// SPDX-License-Identifier: Apache-2.0

public import CSubstrate

/// Is told when a thread blocks, and when it goes on: a pool of threads derives from this
/// class, and has another of its threads run meanwhile.
///
/// It is told of the waits of `WaitPoint`, `Condition`, `WorldClock` and `WorldThread`, and of
/// those for a lock that is long held, and so of those of everything above. It is not told of what
/// blocks by other means, such as a read of a file or another library's lock, unless that runs in
/// `told`. Kernel counterparts: `wq_worker_sleeping`, `wq_worker_running`.
open class BlockingObserver: @unchecked Sendable {
    // Unchecked: what a derived class holds is its own matter.
    public init() {}

    /// The running thread is about to block.
    open func blocks() {}
    /// The wait is over.
    open func goesOn() {}

    /// Runs `body`, of whose waits this is told.
    @inlinable
    @inline(__always)
    public final func observe(_ body: () -> Void) {
        let outer = unsafe quiesce_current_block().pointee.blocking
        unsafe quiesce_current_block().pointee.blocking = Unmanaged.passUnretained(self).toOpaque()
        body()
        unsafe quiesce_current_block().pointee.blocking = outer
    }

    /// The observer of the running thread's waits.
    public static var current: BlockingObserver? {
        guard let pointer = unsafe quiesce_current_block().pointee.blocking else { return nil }
        return unsafe Unmanaged<BlockingObserver>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Runs `wait`, which may block, and tells the running thread's observer, if it has one.
    package static func told<Result: ~Copyable, Failure: Error>(
        _ wait: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard let observer = current else { return try wait() }
        observer.tell { $0.blocks() }
        defer { observer.tell { $0.goesOn() } }
        return try wait()
    }

    /// What is told is not told of in turn.
    private func tell(_ body: (BlockingObserver) -> Void) {
        unsafe quiesce_current_block().pointee.blocking = nil
        body(self)
        unsafe quiesce_current_block().pointee.blocking = Unmanaged.passUnretained(self).toOpaque()
    }
}
