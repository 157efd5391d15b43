// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A lock that Substrate knows nothing of: taken twice by one thread, it blocks for ever.
@safe
final class ForeignLock: @unchecked Sendable {
    // Unchecked: a pthread mutex may be used from any thread.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    init() {
        unsafe mutex = .allocate(capacity: 1)
        unsafe pthread_mutex_init(mutex, nil)
    }

    func lock() { unsafe pthread_mutex_lock(mutex) }

    /// What a program does that has corrupted its heap: the allocator notices and aborts.
    static func freeWhatIsNotAllocated() {
        let block = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 16)
        unsafe free(block + 8)
    }
}
