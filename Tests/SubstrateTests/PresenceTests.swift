// SPDX-License-Identifier: Apache-2.0

import Substrate
import TestSupport
import Testing

/// Announcements, which a thread makes without a locked instruction.
@Suite struct PresenceTests {
    @Test func `an announcement is seen after a membarrier, and its end`() throws {
        let key: UInt = 0x1000
        let step = WaitPoint.Shared()
        let thread = try WorldThread.spawn {
            let announcement = enter(key)
            step.advance(to: 1)
            step.wait(for: 2)
            leave(announcement, key)
        }
        step.wait(for: 1)
        membarrier()
        #expect(Presence.threads(inside: key).count == 1)
        #expect(Presence.isAnyoneInside(key) && !Presence.isInside(key), "somebody else is inside")
        step.advance(to: 2)
        thread.join()
        #expect(!Presence.isAnyoneInside(key))
    }

    @Test func `announcements nest, up to the limit`() {
        let keys = (0..<Presence.depthLimit).map { UInt(0x2000 + $0 / 2 * 16) }
        var announcements = keys.map { enter($0) }
        guard case .noSlot = tryEnter(0x2000, Open.shared.state) else {
            Issue.record("there was an eighth slot")
            return
        }
        #expect(Presence.isInside(0x2000))
        for key in keys.reversed() { leave(announcements.removeLast(), key) }
        #expect(!Presence.isInside(0x2000) && !Presence.isInsideAnything)
    }

    @Test func `what is closed already sees no announcement`() {
        let closed = Atomic<UInt64>(1)
        let observer = RecordingObserver()
        func expectRefusal() {
            guard case .refused = tryEnter(0x3000, closed) else {
                Issue.record("something was announced")
                return
            }
        }
        expectRefusal()
        // In a later slot, and while somebody watches.
        let announcement = enter(0x3010)
        expectRefusal()
        leave(announcement, 0x3010)
        observer.watch { expectRefusal() }
        #expect(observer.kinds == [.load] && observer.waitEvents.isEmpty)
        #expect(!Presence.isInsideAnything)
    }

    @Test func `watched, an announcement is an asymmetric store and a section`() {
        let observer = RecordingObserver()
        observer.watch {
            leave(enter(0x4000), 0x4000)
        }
        #expect(observer.kinds == [.load, .asymmetricStore, .load, .asymmetricStore, .load])
        #expect(observer.waitEvents == ["section section begins", "section section ends"])
    }

    @Test func `threads of all kinds leave nothing behind when they end`() {
        let key: UInt = 0x5000
        for _ in 0..<200 {
            onForeignThread { leave(enter(key), key) }
        }
        membarrier()
        #expect(!Presence.isAnyoneInside(key))
    }

    @Test func `threads that ended are not looked at`() async {
        await #expect(processExitsWith: .success) { try lookAtThreadsThatLive() }
    }

    @Test func `a forked child finds nobody inside but itself`() async {
        await #expect(processExitsWith: .success) { try findNobodyInside() }
    }

    @Test func `a row has room for an epoch and a count of read sections`() throws {
        let number = Mutex<UInt32>(0)
        let step = WaitPoint.Shared()
        let thread = try WorldThread.spawn {
            let row = Presence.row
            precondition(row.epoch.load(ordering: .relaxed) == 0 && row.nesting == 0)
            // The words are not the slots': an announcement leaves them alone, and they it.
            let announcement = enter(0x7000)
            row.epoch.storeAsymmetric(.max)
            row.nesting = .max
            precondition(Presence.isInside(0x7000))
            leave(announcement, 0x7000)
            precondition(!Presence.isInsideAnything && row.nesting == .max)
            row.nesting = 3
            number.withLock { $0 = World.currentThread }
            step.advance(to: 1)
            step.wait(for: 2)
        }
        step.wait(for: 1)
        membarrier()
        let row = Presence.row(ofThread: number.withLock { $0 })
        #expect(row.epoch.load(ordering: .acquiring) == .max)
        let name = World.name(ofThread: number.withLock { $0 })
        #expect(!name.hasPrefix("number"), "the count leaves the thread's number alone")
        step.advance(to: 2)
        thread.join()
    }

    @Test func `the words of a row are cleared when a thread ends`() async {
        await #expect(processExitsWith: .success) {
            for _ in 0..<2 {
                try together(1) { _ in
                    let row = Presence.row
                    precondition(row.epoch.load(ordering: .relaxed) == 0 && row.nesting == 0)
                    row.epoch.storeAsymmetric(7)
                    row.nesting = 1
                }
            }
            let own = Presence.row
            own.nesting = 5
            let status = forkedChild { precondition(Presence.row.nesting == 5) }
            precondition(status == 0 && own.nesting == 5)
        }
    }

    @Test func `threads have names`() throws {
        let name = Mutex("")
        let step = WaitPoint.Shared()
        let number = Mutex<UInt32>(0)
        let thread = try WorldThread.spawn(name: "named") {
            number.withLock { $0 = World.currentThread }
            step.advance(to: 1)
            step.wait(for: 2)
        }
        step.wait(for: 1)
        name.withLock { $0 = World.name(ofThread: number.withLock { $0 }) }
        step.advance(to: 2)
        thread.join()
        #expect(name.withLock { $0.hasPrefix("\"named\" (") })
        #expect(World.name(ofThread: 1_000_000) == "number 1000000")
    }

    @Test func `a callback is known as long as it runs`() {
        #expect(!CallbackScope.isActive)
        CallbackScope.run {
            CallbackScope.run {}
            #expect(CallbackScope.isActive)
        }
        #expect(!CallbackScope.isActive)
    }

    @Test func `misuse is told to the watcher`() {
        #expect(!reportMisuse("nobody hears this"))
        let observer = RecordingObserver()
        let isHeard = observer.watch { reportMisuse("a mistake") }
        #expect(isHeard && observer.misuses == ["a mistake"])
    }
}

/// What nobody closes.
private final class Open: Sendable {
    let state = Atomic<UInt64>(0)

    static let shared = Open()
}

private func tryEnter(_ key: UInt, _ state: borrowing Atomic<UInt64>) -> Presence.Entrance {
    Presence.enter(key, unless: state, has: 1, section: WaitClass(.gate), "section")
}

private func enter(_ key: UInt) -> Presence.Announcement {
    guard case .announced(let announcement) = tryEnter(key, Open.shared.state) else {
        preconditionFailure("it was not announced")
    }
    return announcement
}

private func leave(_ announcement: Presence.Announcement, _ key: UInt) {
    _ = Presence.leave(
        announcement, of: key, andTellWhether: Open.shared.state, has: 1,
        section: WaitClass(.gate), "section")
}

/// Has a hundred threads at once, of which one stays.
private func lookAtThreadsThatLive() throws {
    let own = World.currentThread
    let before = World.process.liveThreads
    let gathered = Mutex(0)
    let (isGathered, isOver) = (WaitPoint.Shared(), WaitPoint.Shared())
    let key: UInt = 0x6020
    try together(100) { _ in
        let count = gathered.withLock { count in
            count += 1
            return count
        }
        if count == 100 { isGathered.advance(to: 1) }
        isGathered.wait(for: 1)
        // One of them starts a thread that stays, with a higher number.
        if count == 100 {
            let stays = try? WorldThread.spawn {
                let announcement = enter(key)
                isOver.advance(to: 1)
                isOver.wait(for: 2)
                leave(announcement, key)
                isOver.advance(to: 3)
            }
            precondition(stays != nil)
        }
        isOver.wait(for: 1)
    }
    let live = World.process.liveThreads
    precondition(live.count == before.count + 1 && live.contains(own) && live.max()! > 100)
    membarrier()
    precondition(Presence.threads(inside: key) == [live.max()!])
    isOver.advance(to: 2)
    isOver.wait(for: 3)
}

/// Forks while another thread is inside.
private func findNobodyInside() throws {
    let (other, own) = (UInt(0x6000), UInt(0x6010))
    let step = WaitPoint.Shared()
    let thread = try WorldThread.spawn {
        let announcement = enter(other)
        step.advance(to: 1)
        step.wait(for: 2)
        leave(announcement, other)
    }
    step.wait(for: 1)
    let announcement = enter(own)
    let status = forkedChild {
        precondition(!Presence.isAnyoneInside(other) && Presence.isAnyoneInside(own))
    }
    leave(announcement, own)
    precondition(status == 0)
    precondition(Presence.isAnyoneInside(other))
    step.advance(to: 2)
    thread.join()
}
