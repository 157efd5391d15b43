// SPDX-License-Identifier: Apache-2.0

import CSubstrate
import Synchronization

/// The lock of a world's own tables, below `Mutex`, which needs them to number its threads.
///
/// Its word holds the kernel's number for the thread. The standard library's mutex would do but for
/// forks: the kernel keeps its holder, and does not let a child release what its parent's thread
/// took.
struct ForkLock<Value>: ~Copyable {
    private let word = Synchronization.Atomic<UInt32>(0)
    private let cell: Cell<Value>

    init(_ initialValue: consuming sending Value) {
        cell = Cell(initialValue)
    }

    borrowing func withLock<Result>(
        _ body: (inout sending Value) -> sending Result
    ) -> sending Result {
        lock()
        defer { unlock() }
        let value = unsafe cell.address
        return unsafe body(&value.pointee)
    }

    borrowing func lock() {
        LockWord.acquire(word, UInt32(quiesce_thread_id()), namesThread: false)
    }

    borrowing func unlock() {
        LockWord.release(word, UInt32(quiesce_thread_id()))
    }

    /// Frees the lock in a child whose parent's thread held it for the fork. The child has no other
    /// thread.
    borrowing func reset() {
        word.store(0, ordering: .releasing)
    }
}

// The value is reached by the lock's holder alone.
extension ForkLock: @unchecked Sendable {}
