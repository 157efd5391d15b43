// SPDX-License-Identifier: Apache-2.0

import CPeers
import Glibc
import Substrate

/// What is locked and unlocked: our locks, and those of POSIX.
public enum Locks {
    public static let all = [
        read, pthreadRead, write, pthreadWrite, readersFirstRead, readersFirstWrite, mutex,
    ].flatMap { [$0, $0.with(.same)] }

    public static let read = reading("Substrate RWLock read lock", .writers)
    public static let write = writing("Substrate RWLock write lock", .writers)
    static let readersFirstRead = reading("Substrate RWLock read lock, readers first", .readers)
    static let readersFirstWrite = writing("Substrate RWLock write lock, readers first", .readers)

    private static func reading(_ name: String, _ preference: RWLock<Int>.Preference) -> Case {
        Case(
            name,
            .blocking { _ in
                let shared = ReadWrite(preference)
                return { count in
                    times(count) { shared.lock.withReadLock { _ in peers_touch_memory() } }
                }
            })
    }

    private static func writing(_ name: String, _ preference: RWLock<Int>.Preference) -> Case {
        Case(
            name,
            .blocking { _ in
                let shared = ReadWrite(preference)
                return { count in
                    times(count) { shared.lock.withWriteLock { _ in peers_touch_memory() } }
                }
            })
    }

    public static let mutex = Case(
        "Substrate Mutex lock + unlock",
        .blocking { _ in
            let shared = Exclusive()
            return { count in times(count) { shared.lock.withLock { _ in peers_touch_memory() } } }
        })

    public static let pthreadRead = Case(
        "pthread_rwlock read lock",
        .blocking { _ in
            let lock = PthreadLock()
            return { count in times(count) { lock.withReadLock { peers_touch_memory() } } }
        })

    public static let pthreadWrite = Case(
        "pthread_rwlock write lock",
        .blocking { _ in
            let lock = PthreadLock()
            return { count in times(count) { lock.withWriteLock { peers_touch_memory() } } }
        })
}

private final class ReadWrite: Sendable {
    let lock: RWLock<Int>

    init(_ preference: RWLock<Int>.Preference) { lock = RWLock(0, preferring: preference) }
}

private final class Exclusive: Sendable {
    let lock = Substrate.Mutex(0)
}

// A lock: made to be shared.
private final class PthreadLock: @unchecked Sendable {
    private let lock = UnsafeMutablePointer<pthread_rwlock_t>.allocate(capacity: 1)

    init() { pthread_rwlock_init(lock, nil) }

    deinit {
        pthread_rwlock_destroy(lock)
        lock.deallocate()
    }

    @inline(__always)
    func withReadLock(_ body: () -> Void) {
        pthread_rwlock_rdlock(lock)
        body()
        pthread_rwlock_unlock(lock)
    }

    @inline(__always)
    func withWriteLock(_ body: () -> Void) {
        pthread_rwlock_wrlock(lock)
        body()
        pthread_rwlock_unlock(lock)
    }
}
