// SPDX-License-Identifier: Apache-2.0

import Explorer
import ExploringSupport
import Substrate
import Testing

@testable import Quiesce

/// Says when it is released, and whether somebody held a lock then.
private final class Object: ReferenceCounted {
    let referenceCount = ReferenceCount()
    let log: Log

    final class Log: Sendable {
        let releases = Mutex(0)
        let lock = Mutex(())
        let wasLocked = Mutex(false)

        var count: Int { releases.withLock { $0 } }
    }

    init(_ log: Log) { self.log = log }

    func release() {
        log.releases.withLock { $0 += 1 }
        let isFree = log.lock.withLockIfAvailable { _ in true } ?? false
        log.wasLocked.withLock { $0 = !isFree }
    }
}

@Suite("kref.rules") struct KrefRules {
    @Test func put_returns_1_only_on_release() {
        let log = Object.Log()
        let first = Reference(Object(log))
        let second = first.share()
        #expect(second.drop() == false && log.count == 0)
        #expect(first.drop() == true && log.count == 1)
    }

    @Test func put_mutex_holds_lock_in_release() {
        let log = Object.Log()
        let isLast = dropLocking(Reference(Object(log)), log)
        #expect(isLast)
        #expect(log.count == 1 && log.wasLocked.withLock { $0 })
    }

    @Test func put_lock_not_last_does_not_lock() {
        let log = Object.Log()
        let first = Reference(Object(log))
        log.lock.lock()
        // Would wait for itself if it took the lock.
        let isLast = dropLocking(first.share(), log)
        log.lock.unlock()
        #expect(!isLast)
        #expect(log.count == 0)
    }

    private func dropLocking(_ reference: consuming Reference<Object>, _ log: Object.Log) -> Bool {
        reference.drop(locking: log.lock)
    }

    @Test func lookup_get_unless_zero_vs_last_put() throws {
        let outcomes = Mutex(Set<String>())
        try verify("lookup against last put") { world in
            let log = Object.Log()
            let object = Object(log)
            let first = Handed(Reference(object))
            let found = Mutex<Bool>.Box(false)
            world.thread("T1") { first.take().drop() }
            world.thread("T2") {
                guard let reference = object.tryReference() else { return }
                found.set(true)
                expect(log.count == 0, "T2 got an object that is released")
                reference.drop()
            }
            world.afterwards {
                expect(log.count == 1)
                outcomes.withLock { _ = $0.insert(found.value ? "live" : "nothing") }
            }
        }
        #expect(outcomes.withLock { $0 } == ["live", "nothing"])
    }

    @Test func release_runs_exactly_once() throws {
        try verify("release once") { world in
            let log = Object.Log()
            let first = Reference(Object(log))
            for name in ["one", "two", "three"] {
                let handed = Handed(first.share())
                world.thread(name) { handed.take().drop() }
            }
            first.drop()
            world.afterwards { expect(log.count == 1) }
        }
    }
}

extension Mutex where Value == Bool {
    /// A truth that threads share.
    fileprivate final class Box: Sendable {
        private let flag: Mutex<Bool>

        init(_ value: Bool) { flag = Mutex(value) }

        func set(_ value: Bool) { flag.withLock { $0 = value } }
        var value: Bool { flag.withLock { $0 } }
    }
}
